// Pictures of each tab, for people to look at.

import { join } from 'node:path';
import { cancelOf, dialog, open, order, row, running, scenario, show } from './lib.mjs';

const { DESIST_SCREENS } = process.env;
const LOOKS = [
    ['light', 'light', 1280, 800], ['dark', 'dark', 1280, 800],
    ['phone', 'light', 390, 844], ['phone-dark', 'dark', 390, 844],
];

await scenario(async (page) => {
    const part = { steps: 8, message: 'writes a part' };
    const root = await running('export', {
        work: { steps: 10, message: 'writes orders', below: [part, { ...part, below: [part] }] },
        key: 'orders', tags: ['tenant:7', 'nightly'],
    });
    await order('step', { id: root, steps: 4 });
    const only = await running('single', { work: { steps: 5 }, actor: 'carol' });
    await order('start', { kind: 'single', work: { steps: 5 }, actor: 'carol' });
    for (let n = 0; n < 12; n++) {
        const id = await running('export', { work: { steps: 1, fails: n % 4 ? undefined : 'no space left on device' } });
        if (n % 3) await order('cancel', { id, actor: 'carol', message: 'the wrong table' });
        else await order('step', { id, steps: 1 });
        await order('ended', { id });
    }
    const deaf = await running('deaf', { work: { steps: 3, message: 'rewrites the index' } });
    await order('cancel', { id: deaf, actor: 'carol', message: 'it takes too long' });
    await open(page);
    for (const [look, colorScheme, width, height] of LOOKS) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height });
        const shoot = (name) =>
            page.screenshot({ path: join(DESIST_SCREENS, `${name}-${look}.png`), fullPage: true });
        for (const name of ['Stopping', 'Latency', 'History', 'Process', 'Running']) {
            await show(page, name);
            await shoot(name.toLowerCase());
        }
        await row(page, root).click();
        await page.locator('#details').waitFor();
        await shoot('details');
        await page.keyboard.press('Escape');
        await cancelOf(row(page, root)).click();
        await dialog(page).waitFor();
        await shoot('cancel');
        await page.keyboard.press('Escape');
    }
    await order('shown', { id: only });
});
