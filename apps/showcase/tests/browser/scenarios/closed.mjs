// A tab is closed while several run. As a new one reads it, each was stopped, and soon.

import { strict as assert } from 'node:assert';
import { Showcase, card, counted, scenario, says, starts, stoppedFor, row } from './lib.mjs';

await scenario(async ({ tab }) => {
    const showcase = await Showcase.start();
    const page = await tab(showcase);
    const kinds = ['longrunningtask', 'download', 'primes'];
    const numbers = [];
    for (const id of kinds) numbers.push(await starts(page, id));
    await page.close();

    const next = await tab(showcase);
    await counted(next.locator('#log tbody tr[data-looks=stopped]'), kinds.length);
    for (const number of numbers) {
        await stoppedFor(next, number, { by: /^the client 127\.0\.0\.1:\d+$/, why: 'disconnected' });
        await says(row(next, number).cell('whom'), /^127\.0\.0\.1:\d+$/);
    }
    // They are none of this one's.
    for (const id of kinds) assert.equal(await card(next, id).run.getAttribute('data-looks'), 'none');

    // A reload is a going away, too.
    const again = await starts(next, 'report');
    await next.reload();
    await stoppedFor(next, again, { by: /^the client/, why: 'disconnected' });
    await counted(next.locator('#log tbody tr[data-looks=stopped]'), kinds.length + 1);
    // One for each, and none twice.
    const all = await next.locator('#log tbody tr').evaluateAll((rows) => rows.map((row) => row.dataset.work));
    assert.equal(new Set(all).size, all.length);
});
