// The server dies while the page is open: that is seen, nothing can be changed meanwhile, and the
// page comes back by itself.

import { strict as assert } from 'node:assert';
import { cancelOf, live, open, order, row, running, says, scenario, show } from './lib.mjs';

await scenario(async (page) => {
    await open(page);
    const lost = await running('export', { work: { steps: 1 }, key: 'lost' });
    const again = await running('durable', { work: { steps: 1 } });
    const forgotten = await running('export', { work: { steps: 1 } });
    for (const id of [lost, again, forgotten]) await row(page, id).waitFor();

    await order('kill');
    const link = page.locator('#link');
    await page.locator('#link[data-state=stale]').waitFor();
    await says(link, /\d\d:\d\d/);
    // What was there is still shown, and nobody is led to believe that it can be stopped now.
    await row(page, lost).waitFor();
    const cancels = page.locator('#running').getByRole('button', { name: /^Cancel / });
    for (const button of await cancels.all()) assert.ok(await button.isDisabled());

    const start = { order: 'start', kind: 'export', actor: 'carol', work: { steps: 1 }, key: 'new' };
    await order('begin', { first: [start, { order: 'forget', id: forgotten }] });
    await live(page);
    await row(page, forgotten).waitFor({ state: 'detached' });
    await says(page.locator('#running [role=row][data-id]'), 'carol');
    // Its process has died, and it is not begun again: that is known when its lease is over.
    await page.locator(`#running [data-id="${lost}"][data-state=failed]`).waitFor();
    await order('running', { id: again });
    await says(row(page, again), '2');
    assert.ok(await cancelOf(row(page, again)).isEnabled());

    // One that stops says so, and is waited for, too.
    await order('stop');
    await page.locator('#link:not([data-state=live])').waitFor();
    await order('begin');
    await live(page);
    await row(page, again).waitFor();
    const history = await show(page, 'History');
    await history.locator(`[data-id="${lost}"][data-state=failed]`).waitFor();
}, { expected: [/net::ERR_(CONNECTION|INCOMPLETE|EMPTY)/, /Failed to fetch/] });
