// Ctrl-C while work of four kinds runs: the page shows what came of each before the server is gone.
// A second one does not wait.

import { strict as assert } from 'node:assert';
import { AWAY, Showcase, card, live, looks, says, scenario, starts, stoppedFor } from './lib.mjs';

await scenario(async ({ tab }) => {
    const first = await Showcase.start();
    const page = await tab(first);
    const numbers = [];
    for (const id of ['download', 'primes', 'report', 'import']) {
        numbers.push(await starts(page, id));
    }
    first.signal('SIGINT');
    const { code, said } = await first.ends();
    for (const number of numbers) {
        await stoppedFor(page, number, { by: 'the host', why: 'shutdown' });
    }
    for (const id of ['download', 'primes', 'report']) {
        await looks(card(page, id).run, 'stopped');
        await says(card(page, id).words, /stopped: the server shuts down.*; heard after .*, stopped after/);
    }
    await page.locator('#link[data-state=away]').waitFor();
    await says(card(page, 'import').words, 'the server is away; the operation is kept');
    assert.equal(code, 0, said);
    assert.match(said, /shutdown \(SIGINT\); a clean stop\n/);

    // The import was given back, and goes on with the next.
    const second = await Showcase.start({ port: first.port });
    await live(page);
    await looks(card(page, 'import').run, 'running');
    await starts(page, 'longrunningtask');
    second.signal('SIGINT');
    await second.says(/the host is stopping/);
    second.signal('SIGINT');
    const forced = await second.ends();
    assert.equal(forced.code, 130, forced.said);
    assert.match(forced.said, /forced by a second SIGINT/);
    await page.locator('#link[data-state=away]').waitFor();
}, { expected: AWAY });
