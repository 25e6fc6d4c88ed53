// The server answers and its database does not: what is shown is from before, and says so.

import { strict as assert } from 'node:assert';
import { cancelOf, dialog, live, open, order, post, row, running, says, scenario, site } from './lib.mjs';

await scenario(async (page) => {
    const id = await running('export', { work: { steps: 1 } });
    await open(page);
    const shown = row(page, id);
    await cancelOf(shown).click();
    await order('database', { answers: false });
    await page.locator('#link[data-state=down]').waitFor();
    // Who has the dialog open cannot send it any more, nor is anything done that is sent by hand.
    const send = dialog(page).getByRole('button', { name: 'Cancel operation' });
    assert.ok(await send.isDisabled());
    assert.equal((await post(page, `api/${id}/cancel`))[0], 503);
    await page.keyboard.press('Escape');
    await dialog(page).waitFor({ state: 'hidden' });
    await shown.waitFor();
    assert.ok(await cancelOf(shown).isDisabled());

    // Who comes now has nothing to see, and is told why.
    const late = await page.context().newPage();
    await late.goto(`${site}/read-only/`);
    await late.locator('#link[data-state=down]').waitFor();
    await says(late.locator('#problem'), 'database');

    await order('database', { answers: true });
    await live(page);
    await live(late);
    await row(late, id).waitFor();
    await late.close();
    assert.equal((await order('shown', { id })).cancel, null);
    await cancelOf(shown).click();
    await send.click();
    await order('ended', { id });
    await page.locator(`#running [data-id="${id}"][data-state=cancelled]`).waitFor();
}, { expected: [/the server responded with a status of 503/] });
