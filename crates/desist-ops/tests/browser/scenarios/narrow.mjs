// As small as a page may be, without scripts, in another zone, with nothing to show, in both colours.

import { strict as assert } from 'node:assert';
import { counted, live, open, order, row, running, says, scenario, show, site } from './lib.mjs';

const TABS = ['Running', 'Stopping', 'Latency', 'History', 'Process'];

await scenario(async (page, browser) => {
    await page.setViewportSize({ width: 320, height: 640 });
    await open(page);
    await says(page.locator('#running'), 'Nothing runs.');
    const fits = async (what) => {
        const { width } = await page.evaluate(() => ({ width: document.documentElement.scrollWidth }));
        assert.ok(width <= 320, `${what}: ${width} px`);
    };
    for (const name of TABS) {
        await show(page, name);
        await fits(name);
        const box = await page.getByRole('tab', { name, exact: true }).boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= 320, `${name}: ${JSON.stringify(box)}`);
    }

    const parent = await running('export', { actor: 'ada', work: { steps: 1, below: [{ steps: 1 }] } });
    await show(page, 'Running');
    await says(row(page, parent), 'ada');
    await fits('a row');
    const boxes = await page.locator('#running form').locator('input, select, button').evaluateAll(
        (all) => all.filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect().toJSON()));
    for (const [n, a] of boxes.entries()) {
        for (const b of boxes.slice(n + 1)) {
            const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
            assert.ok(apart, `${JSON.stringify(a)} lies over ${JSON.stringify(b)}`);
        }
    }

    const below = page.locator('#running [role=row][data-id][aria-level="2"]');
    await counted(below, 1);
    await page.getByRole('button', { name: 'Collapse all' }).click();
    await counted(below, 0);
    await page.getByRole('button', { name: 'Expand all' }).click();
    await counted(below, 1);

    // The other colours, which stay.
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const before = await ground();
    for (let n = 0; n < 3 && await ground() === before; n++) await page.locator('#theme').click();
    const after = await ground();
    assert.notEqual(after, before);
    await page.reload();
    await live(page);
    assert.equal(await ground(), after);

    // A reader on the other side of the world.
    const { created } = await page.evaluate(async (id) => {
        const { operation } = await (await fetch(`./api/${id}/history`)).json();
        return { created: operation.created_at };
    }, parent);
    const settings = { viewport: { width: 1280, height: 800 }, locale: 'en-GB' };
    const other = await browser.browser().newContext({ ...settings, timezoneId: 'Pacific/Auckland' });
    const there = await other.newPage();
    await open(there);
    await row(there, parent).click();
    const clock = new Date(created).toLocaleTimeString('en-GB', { timeZone: 'Pacific/Auckland' });
    await says(there.locator('#details'), clock);
    await other.close();

    const bare = await browser.browser().newContext({ ...settings, javaScriptEnabled: false });
    const still = await bare.newPage();
    await still.goto(`${site}/console/`);
    await still.getByText(/JavaScript|script/i).first().waitFor();
    assert.equal(await still.getByRole('tab').count(), 0, 'nothing that does nothing');
    await bare.close();
    await order('step', { id: parent, steps: 1 });
});
