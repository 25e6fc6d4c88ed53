// The first cancel of all is a plot that says something, and its point is reached by keyboard, too.

import { strict as assert } from 'node:assert';
import { open, order, running, says, scenario, show } from './lib.mjs';

await scenario(async (page) => {
    await open(page);
    const latency = await show(page, 'Latency');
    await says(latency, /no|nothing/i);
    const id = await running('export', { work: { steps: 1 } });
    await order('cancel', { id, actor: 'carol', message: 'enough' });
    await order('ended', { id });
    await says(latency.getByRole('table').getByRole('row'), 'export');
    const canvas = latency.locator('#plot canvas');
    await canvas.waitFor();
    // Something is drawn there, in more than one colour.
    const colours = await canvas.evaluate((canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const all = new Set();
        for (let at = 0; at < data.length; at += 4) {
            if (data[at + 3] > 200) all.add(`${data[at] >> 5} ${data[at + 1] >> 5} ${data[at + 2] >> 5}`);
        }
        return all.size;
    });
    assert.ok(colours >= 2, `${colours} colours`);

    const slowest = latency.getByRole('button', { name: /slowest/i });
    await slowest.focus();
    await page.keyboard.press('Enter');
    await says(page.locator('#details'), id);
    await says(page.locator('#details'), 'carol');
});
