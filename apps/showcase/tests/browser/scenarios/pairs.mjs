// Two that belong together: a search and the one that takes its place; a request and the one that it
// makes of another instance.

import { strict as assert } from 'node:assert';
import { Showcase, card, counted, looks, row, says, scenario, starts, stoppedFor } from './lib.mjs';

await scenario(async ({ tab }) => {
    const other = await Showcase.start({ data: 'other' });
    const showcase = await Showcase.start({ more: ['--downstream', other.site] });
    const page = await tab(showcase);
    await says(page.locator('#downstream'), other.site);
    const there = await tab(other);

    const first = await starts(page, 'downstream');
    // The other one has a row for it, of somebody who is not its page.
    const below = there.locator('#log tbody tr', { hasText: 'long-running task' });
    await below.and(there.locator('[data-looks=running]')).waitFor();
    await says(below.locator('.whom'), /^127\.0\.0\.1:\d+$/);
    await says(below.locator('.came'), /of 20/);
    const number = Number(await below.getAttribute('data-work'));
    await card(page, 'downstream').stop.click();
    await stoppedFor(page, first, { by: 'this page', why: 'disconnected' });
    await stoppedFor(there, number, { by: /the client 127\.0\.0\.1:\d+/, why: 'disconnected' });

    const search = card(page, 'search');
    await search.field('text').fill('amber');
    const older = await starts(page, 'search');
    await search.field('text').fill('lantern');
    await search.start.click();
    await counted(search.runs, 2);
    await stoppedFor(page, older, { by: 'a newer one', why: /^superseded: .*lantern/ });
    const [newest, before] = [search.runs.nth(0), search.runs.nth(1)];
    await says(before.locator('.outcome'), /stopped: a newer one took its place .*; heard after .*, stopped after/);
    await looks(newest, 'finished');
    await says(newest.locator('.outcome'), /finished after .*: \d found; the most like others: \w+/);
    assert.equal(await page.locator('#log tr[data-looks=failed]').count(), 0);

    // A search of another tab is none of this one's.
    const another = await tab(showcase);
    const number1 = await starts(page, 'search');
    const number2 = await starts(another, 'search');
    assert.notEqual(number1, number2);
    await row(page, number1).looks('finished');
    await another.close();
    await search.field('text').fill('nobodyhasthis');
    await search.start.click();
    await says(search.words, 'nothing has this word');
}, { expected: [/status of (409|499)/] });
