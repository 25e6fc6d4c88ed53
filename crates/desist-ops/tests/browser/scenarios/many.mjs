// Ten thousand that run, and go on: the page shows all of them, and stays quick.

import { strict as assert } from 'node:assert';
import { cancelOf, dialog, live, open, order, row, says, scenario } from './lib.mjs';

const MANY = 10_000;
const ROWS = 200;
/** Of a frame; on a machine that does other things, too. */
const LONG = 200;

await scenario(async (page) => {
    const ids = await order('fill', { number: MANY });
    await order('running', { id: ids.at(-1) });
    // They are claimed in turn.
    for (let running = 0; running < MANY;) {
        const count = await order('count');
        running = count.running ?? 0;
        assert.equal(running + (count.waiting ?? 0), MANY, JSON.stringify(count));
    }
    console.error('all run');
    await order('beat');
    await page.addInitScript(() => {
        window.longest = [];
        new PerformanceObserver((list) => {
            window.longest.push(...list.getEntries().map(({ duration }) => duration));
        }).observe({ type: 'longtask' });
    });
    const begun = Date.now();
    await open(page);
    console.error(`live after ${Date.now() - begun} ms`);
    await says(page.getByRole('listitem'), /^10.?000 running/);
    const rows = page.locator('#running [role=row][data-id]');
    await rows.first().waitFor();
    const few = async () => assert.ok(await rows.count() < ROWS, `${await rows.count()} rows are in the page`);
    await few();

    // The last one is reached: at once, and by scrolling.
    const numbered = (number) => page.locator(`#running [role=row][aria-rowindex="${number}"][data-id]`);
    const [first, last] = [numbered(2), numbered(MANY + 1)];
    const ends = [ids[0], ids.at(-1)];
    await first.focus();
    await page.keyboard.press('End');
    await last.and(page.locator(':focus')).waitFor();
    assert.ok(ends.includes(await last.getAttribute('data-id')));
    await few();
    await page.keyboard.press('Home');
    await first.and(page.locator(':focus')).waitFor();
    await page.locator('#running [role=treegrid]').hover();
    await page.mouse.wheel(0, 10_000_000);
    await last.waitFor();
    await few();
    await page.mouse.wheel(0, -10_000_000);
    await first.waitFor();

    const shown = rows.first();
    const text = await shown.innerText();
    const id = await shown.getAttribute('data-id');
    await page.waitForFunction(
        ([id, text]) => document.querySelector(`#running [data-id="${id}"]`)?.innerText !== text, [id, text]);

    const clicked = Date.now();
    await cancelOf(row(page, id)).click();
    await dialog(page).waitFor();
    console.error(`the dialog after ${Date.now() - clicked} ms`);
    assert.ok(Date.now() - clicked < 1500);
    await dialog(page).getByRole('button', { name: 'Cancel operation' }).click();
    assert.equal((await order('ended', { id })).state, 'cancelled');
    await says(page.getByRole('listitem'), /^9.?999 running/);
    await live(page);
    const longest = await page.evaluate(() => window.longest);
    console.error(`long tasks: ${longest.map(Math.round).join(' ')}`);
    const tooLong = longest.filter((duration) => duration > LONG);
    assert.ok(tooLong.length <= 3, `too long: ${tooLong}`);
});
