// Each kind of request is started, seen to go on, and stopped; and what is let alone is finished.

import { strict as assert } from 'node:assert';
import { Showcase, card, counted, looks, row, says, scenario, starts, stoppedFor } from './lib.mjs';

/** With what its row says while it goes on; the report has nothing to say in between. */
const KINDS = [
    ['longrunningtask', /^runs: \d+ of 20$/],
    ['upload', /^runs: \d+ %$/],
    ['download', /^runs: \d+ of 20$/],
    ['events', /^runs: \d+ so far$/],
    ['primes', /^runs: \d+ %$/],
    ['report', /^runs$/],
    ['downstream', /^runs$/],
];

await scenario(async ({ tab }) => {
    const showcase = await Showcase.start();
    const page = await tab(showcase);
    await says(page.locator('#database'), 'SQLite in ');
    await says(page.locator('#instance'), /^showcase \S+-[0-9a-f]{8}$/);
    await says(page.locator('#downstream'), showcase.site);

    for (const [id, goesOn] of KINDS) {
        const { start, stop, run, words } = card(page, id);
        const number = await starts(page, id);
        await row(page, number).looks('running');
        await says(row(page, number).cell('came').locator('.words'), goesOn);
        await says(row(page, number).cell('whom'), 'this page');
        assert.equal(await start.getAttribute('aria-disabled'), 'true', `${id}: one at a time`);
        await stop.click();
        await looks(run, 'stopped');
        await says(words, /stopped: you stopped it; heard after [\d.]+ m?s, stopped after [\d.]+ m?s$/);
        await stoppedFor(page, number, { by: 'this page', why: 'disconnected' });
        // It was asked, and that has taken no other row than this.
        await counted(page.locator(`#log tr[data-work="${number}"]`), 1);
        await says(page.locator('#said'), 'stopped: you stopped it');
    }

    const primes = card(page, 'primes');
    await primes.field('below').fill('1000');
    // The log comes on another connection, and tells of the end before the answer is here.
    await page.route(/\/primes\?/, async (route) => {
        const response = await route.fetch();
        await looks(primes.run, 'finished');
        await route.fulfill({ response });
    });
    await primes.start.click();
    await looks(primes.run, 'finished');
    await says(primes.words, /finished after .*: 168 primes below 1000/);
    await says(page.locator('#said'), '168 primes below 1000');
    await page.unroute(/\/primes\?/);
    // The browser says what is wrong with it, and nothing is sent.
    await primes.field('below').fill('1');
    await primes.start.click();
    await looks(primes.run, 'finished');
    assert.equal(await primes.field('below').evaluate((field) => field.validity.rangeUnderflow), true);

    // Three at a time: the fourth waits, says so, and goes when there is room.
    const three = ['longrunningtask', 'download', 'events'];
    const numbers = [];
    for (const id of three) numbers.push(await starts(page, id));
    const report = card(page, 'report');
    await report.start.click();
    await says(report.words, 'waits for a free connection');
    // One that waits can be stopped, too, and never was.
    await primes.field('below').fill('40000000');
    await primes.start.click();
    await says(primes.words, 'waits for a free connection');
    await primes.stop.click();
    await says(primes.words, 'stopped before it was sent');
    await card(page, 'events').stop.click();
    await says(report.words, /^#\d+ runs$/);
    for (const id of ['longrunningtask', 'download', 'report']) {
        await card(page, id).stop.click();
        await looks(card(page, id).run, 'stopped');
    }
    for (const number of numbers) await stoppedFor(page, number, { by: 'this page', why: 'disconnected' });

    showcase.signal('SIGINT');
    const { code, said } = await showcase.ends();
    assert.equal(code, 0, said);
    assert.match(said, /shutdown \(SIGINT\); a clean stop\n/);
}, { expected: [/net::ERR_/] });
