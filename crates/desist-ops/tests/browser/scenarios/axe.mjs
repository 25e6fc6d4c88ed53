// Nobody is shut out: what axe finds wrong with any of it.

import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { cancelOf, dialog, open, order, packages, row, running, says, scenario, show } from './lib.mjs';

const AXE = readFileSync(packages.resolve('axe-core'), 'utf8');
const LOOKS = [['light', 1280], ['dark', 1280], ['light', 390], ['dark', 390]];

await scenario(async (page) => {
    const root = await running('export', { work: { steps: 4, below: [{ steps: 1 }] }, key: 'orders', tags: ['tenant:7'] });
    const deaf = await running('deaf', { work: { steps: 1, message: 'writes' } });
    await order('cancel', { id: deaf, actor: 'carol', message: 'too slow' });
    for (const fails of ['no space left', undefined]) {
        const id = await running('export', { work: { steps: 1, fails } });
        await order('cancel', { id, actor: 'carol', message: 'no' });
        await order('ended', { id });
    }
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await open(page);
    await page.evaluate(AXE);
    const found = [];
    const look = async (where) => {
        const { violations, passes } = await page.evaluate(() => axe.run({ resultTypes: ['violations'] }));
        assert.ok(passes.length > 5, `${where}: nothing was looked at`);
        for (const { id, impact, help, nodes } of violations) {
            found.push(`${where}: ${id} (${impact}): ${help}: ${nodes.map(({ html }) => html.slice(0, 160)).slice(0, 3).join(' ')}`);
        }
        const [wide, high] = await page.evaluate(() => {
            const { scrollWidth, scrollHeight } = document.documentElement;
            return [scrollWidth - innerWidth, scrollHeight - innerHeight];
        });
        if (wide > 0) found.push(`${where}: it has to be scrolled sideways, by ${wide}`);
        if (high > 0) found.push(`${where}: it scrolls around what scrolls in it, by ${high}`);
    };
    for (const [colorScheme, width] of LOOKS) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 800 });
        const where = (what) => `${what}, ${colorScheme}, ${width}`;
        for (const name of ['Stopping', 'Latency', 'History', 'Process', 'Running']) {
            await show(page, name);
            await look(where(name));
        }
        await row(page, root).click();
        await page.locator('#details').waitFor();
        await says(page.locator('#details'), /started/i);
        await look(where('details'));
        await page.keyboard.press('Escape');
        await cancelOf(row(page, root)).click();
        await dialog(page).waitFor();
        await look(where('cancel'));
        await page.keyboard.press('Escape');
        await dialog(page).waitFor({ state: 'hidden' });
    }
    assert.deepEqual(found, []);
});
