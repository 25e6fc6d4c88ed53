// A tree whose parent has ended is cancelled through it; and the count is that of now.

import { strict as assert } from 'node:assert';
import { cancelOf, counted, dialog, open, order, row, running, scenario } from './lib.mjs';

await scenario(async (page) => {
    await open(page);
    const leaf = { steps: 1 };
    const parent = await running('export', { work: { steps: 1, below: [leaf, leaf, leaf] } });
    const below = page.locator('#running [role=row][data-id][aria-level="2"][data-state=running]');
    await counted(below, 3);
    const ids = await below.evaluateAll((rows) => rows.map((row) => row.dataset.id));
    await order('step', { id: parent, steps: 1 });
    await order('ended', { id: parent });
    const shown = row(page, parent);
    await page.locator(`#running [data-id="${parent}"][data-state=succeeded]`).waitFor();

    await cancelOf(shown).click();
    const asks = dialog(page);
    await counted(asks.getByRole('radio', { name: 'This operation' }), 0);
    await asks.getByRole('radio', { name: /everything below it/i }).check();
    await asks.getByRole('button', { name: 'Cancel 3 operations' }).waitFor();
    await order('step', { id: ids[0], steps: 1 });
    await order('ended', { id: ids[0] });
    await asks.getByRole('button', { name: 'Cancel 2 operations' }).click();
    await asks.waitFor({ state: 'hidden' });
    for (const id of ids.slice(1)) {
        assert.equal((await order('ended', { id })).state, 'cancelled');
    }
    assert.equal((await order('shown', { id: ids[0] })).state, 'succeeded');
    await counted(cancelOf(shown), 0);
});
