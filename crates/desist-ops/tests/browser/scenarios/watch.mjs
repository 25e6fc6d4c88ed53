// An operation appears, goes on, is cancelled with a message, and is found in the history.

import { strict as assert } from 'node:assert';
import { cancelOf, dialog, live, open, order, row, running, says, scenario, show } from './lib.mjs';

await scenario(async (page) => {
    await open(page);
    const id = await running('export', { work: { steps: 3 }, key: 'orders', tags: ['tenant:7'] });
    const shown = row(page, id);
    await shown.waitFor();
    await says(shown, 'export');
    await says(shown, 'ada');
    for (const [step, percent] of [0, 33, 66].entries()) {
        if (step > 0) await order('step', { id, steps: 1 });
        await shown.locator(`[role=progressbar][aria-valuenow="${percent}"]`).waitFor();
        await says(shown, `step ${step}`);
    }

    // Its details follow it while they are open.
    await shown.click();
    const details = page.locator('#details');
    for (const text of ['orders', 'tenant:7', 'ada', 'replica-1', /claimed/i]) await says(details, text);
    await cancelOf(shown).click();
    const asks = dialog(page);
    await asks.getByLabel('Message').fill('the wrong table');
    await asks.getByRole('button', { name: 'Cancel operation' }).click();
    await asks.waitFor({ state: 'hidden' });
    await says(page.locator('#said'), 'export');
    const ended = await order('ended', { id });
    assert.equal(ended.state, 'cancelled');
    const { cancel } = ended;
    assert.deepEqual(
        cancel, { mode: 'cancel', reason: 'requested', message: 'the wrong table', actor: 'bob' });

    // It is shown for a while, with how it went.
    await page.locator(`#running [data-id="${id}"][data-state=cancelled]`).waitFor();
    for (const shows of [shown, details]) {
        await says(shows, 'bob');
        await says(shows, 'the wrong table');
    }
    for (const what of ['started', 'claimed', 'cancel.requested', 'heard', 'finished']) {
        await says(details, new RegExp(what, 'i'));
    }
    await page.keyboard.press('Escape');
    await details.waitFor({ state: 'hidden' });

    const history = await show(page, 'History');
    await history.locator(`[data-id="${id}"][data-state=cancelled]`).waitFor();
    const done = await running('export', { work: { steps: 1 } });
    await order('step', { id: done, steps: 1 });
    await order('ended', { id: done });
    await history.getByLabel('Outcome').selectOption('cancelled');
    await history.locator(`[data-id="${id}"]`).waitFor();
    await history.locator(`[data-id="${done}"]`).waitFor({ state: 'detached' });
    await history.getByLabel('Outcome').selectOption('succeeded');
    await history.locator(`[data-id="${done}"][data-state=succeeded]`).waitFor();
    await history.locator(`[data-id="${id}"]`).waitFor({ state: 'detached' });

    const latency = await show(page, 'Latency');
    await says(latency.getByRole('table').getByRole('row'), 'export');

    // The same after it was loaded again.
    await page.reload();
    await live(page);
});
