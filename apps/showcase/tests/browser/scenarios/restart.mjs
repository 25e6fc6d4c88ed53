// The server dies while work runs, and is started again: the page says so, ends what it cannot know,
// and finds again what is kept.

import { strict as assert } from 'node:assert';
import { AWAY, Showcase, card, counted, live, looks, row, says, scenario, starts } from './lib.mjs';

await scenario(async ({ tab, context }) => {
    const first = await Showcase.start();
    const page = await tab(first);
    const task = await starts(page, 'longrunningtask');
    await starts(page, 'import');
    await starts(page, 'deaf');
    await says(card(page, 'import').words, /runs: [\d,]+ of 2,000/);
    await says(row(page, task).cell('came'), /of 20/);

    first.signal('SIGKILL');
    await first.ends();
    const link = page.locator('#link');
    await page.locator('#link[data-state=away]').waitFor();
    await says(link, /The server is away since \d\d:\d\d:\d\d/);
    await looks(card(page, 'longrunningtask').run, 'lost');
    await says(card(page, 'longrunningtask').words, 'the server went away');
    await says(row(page, task).cell('came'), 'the server went away while it ran');
    await says(card(page, 'import').words, 'the operation is kept');
    for (const button of await page.locator('button').all()) {
        assert.equal(await button.getAttribute('aria-disabled'), 'true', await button.getAttribute('aria-label'));
    }

    const second = await Showcase.start({ port: first.port });
    await live(page);
    const about = await fetch(new URL('about', second.site));
    await says(page.locator('#instance'), (await about.json()).instance);
    // The rows of the first are still there, once, and nothing is said of them that nobody knows.
    await looks(card(page, 'longrunningtask').run, 'lost');
    await says(card(page, 'longrunningtask').words, 'what came of it is not known');
    const lost = page.locator('#log tr[data-looks=lost]');
    // What the indexer was at is no matter.
    await counted(lost.filter({ hasNotText: 'indexing' }), 3);
    // That an import died is known when its lease is over; it is begun again. A deaf job is not.
    await looks(card(page, 'import').run, 'running');
    await says(card(page, 'import').words, /^#\d+ runs: [\d,]+ of 2,000/);
    await looks(card(page, 'deaf').run, 'failed');
    await counted(card(page, 'import').runs, 1);
    await card(page, 'import').stop.click();
    await looks(card(page, 'import').run, 'stopped');
    await says(card(page, 'import').words, /stopped: a visitor asked for it/);

    // A new tab has only what this server knows, and that is the same.
    const next = await tab(second);
    await counted(next.locator('#log tr[data-looks=lost]'), 0);
    const another = await starts(page, 'longrunningtask');
    await row(next, another).looks('running');
    await card(page, 'longrunningtask').stop.click();
    await row(next, another).looks('stopped');

    // One with other data knows nothing of what ran.
    await starts(page, 'import');
    second.signal('SIGKILL');
    await second.ends();
    const third = await Showcase.start({ port: first.port, data: 'other' });
    await looks(card(page, 'import').run, 'failed');
    await says(card(page, 'import').words, 'this server does not know it');

    // One that dies while it is asked what runs is away, and nothing is wrong with the page.
    await page.close();
    await context.route(/\/operations\?state=/, async (route) => {
        third.signal('SIGKILL');
        await third.ends();
        await route.abort('connectionreset');
    }, { times: 1 });
    const late = await context.newPage();
    await late.goto(third.site);
    await late.locator('#link[data-state=away]').waitFor();
    await Showcase.start({ port: first.port, data: 'other' });
    await live(late);
}, { expected: [...AWAY, /status of 404/] });
