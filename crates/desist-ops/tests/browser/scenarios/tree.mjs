// A whole tree is cancelled, and what is beside it goes on.

import { strict as assert } from 'node:assert';
import { cancelOf, counted, dialog, open, order, row, running, says, scenario } from './lib.mjs';

const leaf = { steps: 1 };
const branch = { steps: 1, below: [leaf, leaf, leaf] };

await scenario(async (page) => {
    await open(page);
    const beside = await running('export', { work: { steps: 1, below: [leaf] } });
    const root = await running('export', { work: { steps: 1, below: [branch, branch, branch] } });
    const shown = row(page, root);
    await says(shown, 'export');
    assert.equal(await shown.getAttribute('aria-level'), '1');
    assert.equal(await shown.getAttribute('aria-expanded'), 'true');
    const rows = page.locator('#running [role=row][data-id]');
    await counted(rows, 15);
    await counted(page.locator('#running [role=row][data-id][aria-level="2"]'), 4);
    await counted(page.locator('#running [role=row][data-id][aria-level="3"]'), 9);

    await cancelOf(shown).click();
    const asks = dialog(page);
    await asks.getByRole('radio', { name: 'This operation' }).check();
    await asks.getByRole('button', { name: 'Cancel operation' }).waitFor();
    await asks.getByRole('radio', { name: 'This and everything below it' }).check();
    await asks.getByRole('button', { name: 'Cancel 13 operations' }).click();
    await asks.waitFor({ state: 'hidden' });

    await counted(page.locator('#running [data-id][data-state=cancelled]'), 13);
    await counted(page.locator('#running [data-id][data-state=running]'), 2);
    assert.deepEqual(await order('count'), { cancelled: 13, running: 2 });
    const { cancel } = await order('ended', { id: root });
    assert.equal(cancel.actor, 'bob');
    assert.equal((await order('shown', { id: beside })).cancel, null);

    // One alone: what is below it goes on.
    await cancelOf(row(page, beside)).click();
    await asks.getByRole('button', { name: 'Keep running' }).click();
    await asks.waitFor({ state: 'hidden' });
    assert.equal((await order('shown', { id: beside })).cancel, null, 'it was to keep running');
    await cancelOf(row(page, beside)).click();
    await asks.getByRole('radio', { name: 'This operation' }).check();
    await asks.getByRole('button', { name: 'Cancel operation' }).click();
    await order('ended', { id: beside });
    await page.locator(`#running [data-id="${beside}"][data-state=cancelled]`).waitFor();
    await counted(page.locator('#running [data-id][data-state=running]'), 1);

    // An answer that comes late closes the dialog of nobody else.
    const [slow, other] = [await running('export', { work: leaf }), await running('export', { work: leaf })];
    let goesOn;
    const held = new Promise((resolve) => (goesOn = resolve));
    await page.route(`**/${slow}/cancel`, async (route) => {
        await held;
        await route.continue();
    });
    await cancelOf(row(page, slow)).click();
    await asks.getByRole('button', { name: 'Cancel operation' }).click();
    await asks.getByRole('button', { name: 'Keep running' }).click();
    await asks.waitFor({ state: 'hidden' });
    await cancelOf(row(page, other)).click();
    await asks.getByLabel('Message').fill('not to be lost');
    goesOn();
    await order('ended', { id: slow });
    await page.locator(`#running [data-id="${slow}"][data-state=cancelled]`).waitFor();
    assert.equal(await asks.getByLabel('Message').inputValue(), 'not to be lost');
    await asks.getByRole('button', { name: 'Cancel operation' }).click();
    assert.equal((await order('ended', { id: other })).cancel.message, 'not to be lost');
});
