// Tabs of one browser, which has six connections for all of them: what waits says so, what is short
// goes on, the console is there, and a tab that is closed, or that nobody looks at, leaves its
// connections to the others.

import { Showcase, card, counted, isSeen, live, looks, row, says, scenario, starts, within } from './lib.mjs';

const THREE = ['longrunningtask', 'events', 'report'];

await scenario(async ({ tab, context }) => {
    const showcase = await Showcase.start();
    const first = await tab(showcase);
    // Two and a log leave room for a second log.
    for (const id of THREE.slice(0, 2)) await starts(first, id);
    await (await tab(showcase)).close();
    await starts(first, THREE[2]);
    // It keeps a connection of its own.
    const console = await tab(showcase, '/console/');
    await console.locator('#link[data-state=live]').waitFor();
    const going = await starts(first, 'import');
    await row(first, going).looks('running');

    const second = await context.newPage();
    await second.goto(showcase.site);
    await says(second.locator('#link'), 'Other tabs of this page have all connections to the server: close one of them');
    // What it cannot read may not be empty.
    await second.locator('#nothing').waitFor({ state: 'hidden', timeout: 3000 });
    // There is one left for what is short.
    await card(first, 'import').stop.click();
    await within('the import stops', looks(card(first, 'import').run, 'stopped'), 5000);

    await card(first, 'events').stop.click();
    await live(second);
    await says(second.locator('#instance'), /^showcase \S+-[0-9a-f]{8}$/);
    // It lasts for twenty seconds, of which many are over.
    const task = card(first, 'longrunningtask');
    await task.stop.click();
    await looks(task.run, 'stopped');
    await starts(first, 'longrunningtask');
    const { start, stop, run, words } = card(second, 'report');
    await start.click();
    await says(words, 'waits for a free connection');
    await stop.click();
    await says(words, 'stopped before it was sent');
    await start.click();
    await counted(card(second, 'report').runs, 1);
    await says(words, 'waits for a free connection');
    await card(first, 'report').stop.click();
    await says(words, /^#\d+ runs$/);
    const other = await starts(second, 'import');
    await card(second, 'import').stop.click();
    await row(second, other).looks('stopped');

    const waiting = card(second, 'events');
    await waiting.start.click();
    await says(waiting.words, 'waits for a free connection');
    await first.close();
    await says(waiting.words, /^#\d+ runs/);
    for (const id of ['report', 'events']) await card(second, id).stop.click();
    await looks(run, 'stopped');

    // What nobody looks at needs no log: with that many in sight the last would wait.
    const many = [second];
    while (many.length < 3) many.push(await tab(showcase));
    // One is left to requests.
    await starts(many[1], 'longrunningtask');
    await card(many[1], 'longrunningtask').stop.click();
    await looks(card(many[1], 'longrunningtask').run, 'stopped');
    const imported = await starts(second, 'import');
    const last = await context.newPage();
    await last.goto(showcase.site);
    await says(last.locator('#link'), 'Other tabs of this page have all connections');
    await isSeen(second, false);
    await live(last);
    await second.locator('#link[data-state=resting]').waitFor();
    await isSeen(second, true);
    await second.locator('#link[data-state=crowded]').waitFor();
    // It has no log, and asks for what it began all the same.
    await says(row(second, imported).cell('came'), 'not known: this tab does not hear the server');
    await says(card(second, 'import').words, /^#\d+ runs: [\d,]+ of 2,000$/);
    await card(second, 'import').stop.click();
    await looks(card(second, 'import').run, 'stopped');
    await says(card(second, 'import').words, 'stopped: a visitor asked for it');
    await isSeen(last, false);
    await live(second);
    // One that waits for an answer is not deaf meanwhile.
    await last.close();
    await many.pop().close();
    const asked = await starts(second, 'longrunningtask');
    await isSeen(second, false);
    await says(row(second, asked).cell('came'), '4 of 20');
    await second.locator('#link[data-state=live]').waitFor();
    await card(second, 'longrunningtask').stop.click();
    await row(second, asked).looks('stopped');
    await second.locator('#link[data-state=resting]').waitFor();
    for (const one of many.slice(1)) await one.close();
}, { expected: [/net::ERR_/] });
