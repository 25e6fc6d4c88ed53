// The server neither answers nor ends: what is shown is old, though nobody has hung up.

import { strict as assert } from 'node:assert';
import { cancelOf, live, open, order, row, running, says, scenario } from './lib.mjs';

await scenario(async (page) => {
    const id = await running('export', { work: { steps: 1 } });
    await open(page);
    const cancels = cancelOf(row(page, id));
    await cancels.focus();
    await order('freeze');
    await page.locator('#link[data-state=stale]').waitFor();
    await says(page.locator('#link'), /\d\d:\d\d/);
    assert.ok(await cancels.isDisabled());
    // Who was on it is not thrown out.
    assert.equal(await page.evaluate(() => document.activeElement.closest('[data-id]')?.dataset.id), id);
    await order('thaw');
    await live(page);
    assert.ok(await cancels.isEnabled());
});
