// The connections of a page are cut, and its server is not: the page catches up, and no row is there
// twice.

import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { AWAY, Showcase, card, live, looks, row, says, scenario, starts, stoppedFor } from './lib.mjs';

/** What lies between, and can be cut. */
async function cable(port) {
    const ends = new Set();
    let isCut = false;
    const server = createServer((near) => {
        if (isCut) return near.destroy();
        const far = connect(port, '127.0.0.1');
        for (const [end, other] of [[near, far], [far, near]]) {
            ends.add(end);
            end.pipe(other);
            end.on('error', () => {}).on('close', () => {
                ends.delete(end);
                other.destroy();
            });
        }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return {
        site: `http://127.0.0.1:${server.address().port}`,
        cut() {
            isCut = true;
            ends.forEach((end) => end.destroy());
        },
        mend() {
            isCut = false;
        },
    };
}

await scenario(async ({ tab }) => {
    const showcase = await Showcase.start();
    const between = await cable(showcase.port);
    const page = await tab(between);
    const task = await starts(page, 'longrunningtask');
    const going = await starts(page, 'import');
    await row(page, going).looks('running');

    between.cut();
    await page.locator('#link[data-state=away]').waitFor();
    await says(row(page, task).cell('came'), 'the server went away while it ran');
    between.mend();
    await live(page);
    // It was stopped meanwhile, and the import goes on in the same row.
    await stoppedFor(page, task, { by: 'this page', why: 'disconnected' });
    await says(card(page, 'longrunningtask').words, /stopped: you went away/);
    await row(page, going).looks('running');
    await says(card(page, 'import').words, new RegExp(`^#${going} runs: [\\d,]+ of 2,000`));
    const all = await page.locator('#log tbody tr').evaluateAll((rows) => rows.map((row) => row.dataset.work));
    assert.equal(new Set(all).size, all.length, `a row is there twice: ${all}`);
    await card(page, 'import').stop.click();
    await looks(card(page, 'import').run, 'stopped');

    // A server that hangs keeps its connections, and is away all the same.
    showcase.signal('SIGSTOP');
    await page.locator('#link[data-state=away]').waitFor();
    showcase.signal('SIGCONT');
    await live(page);
    await starts(page, 'primes');
}, { expected: AWAY });
