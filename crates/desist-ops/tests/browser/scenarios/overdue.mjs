// What does not stop is in a list of its own, the worst first, until it does.

import { strict as assert } from 'node:assert';
import { counted, live, open, order, running, says, scenario, show } from './lib.mjs';

await scenario(async (page) => {
    const ids = [];
    for (const message of ['writes the first', 'writes the second', 'writes the third']) {
        ids.push(await running('deaf', { work: { steps: 1, message } }));
    }
    const obedient = await running('export', { work: { steps: 1 } });
    await open(page);
    const stopping = await show(page, 'Stopping');
    await counted(stopping.locator('[data-id]'), 0);

    // Neither in the order in which they began nor in the opposite one.
    const worst = [ids[1], ids[0], ids[2]];
    for (const [n, id] of worst.entries()) {
        await order('cancel', { id, actor: 'carol', message: `number ${n}` });
        await stopping.locator(`[data-id="${id}"][data-overdue=true]`).waitFor();
    }
    await counted(stopping.locator('[data-id][data-overdue=true]'), 3);
    const listed = await stopping.locator('[data-id]').evaluateAll(
        (rows) => rows.map((row) => row.dataset.id));
    assert.deepEqual(listed, worst);

    const first = stopping.locator(`[data-id="${worst[0]}"]`);
    for (const text of ['deaf', 'carol', 'number 0', 'writes the second', /\d+(\.\d+)?\s?(s|ms)\b/]) {
        await says(first, text);
    }
    // How long it takes goes on by itself.
    const overdueBy = (text) => Number(/overdue by (\d+) s/.exec(text)[1]);
    const before = overdueBy(await first.innerText());
    await says(first, new RegExp(`overdue by (${before + 1}|${before + 2}|${before + 3}) s`));

    // Who comes later sees the same.
    await page.reload();
    await live(page);
    await show(page, 'Stopping');
    await counted(stopping.locator('[data-id][data-overdue=true]'), 3);

    await order('step', { id: worst[0], steps: 1 });
    await order('ended', { id: worst[0] });
    await first.waitFor({ state: 'detached' });
    await counted(stopping.locator('[data-id]'), 2);
    assert.equal((await order('shown', { id: obedient })).state, 'running');
    for (const id of worst.slice(1)) await order('step', { id, steps: 1 });
    await counted(stopping.locator('[data-id]'), 0);
});
