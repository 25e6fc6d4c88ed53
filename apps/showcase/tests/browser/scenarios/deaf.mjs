// What does not look at its token: it is asked and still runs, is overdue, here and in the console, and
// stands in the report when its server is interrupted.

import { strict as assert } from 'node:assert';
import { AWAY, Showcase, card, looks, row, says, scenario, starts } from './lib.mjs';

await scenario(async ({ tab }) => {
    const showcase = await Showcase.start();
    const page = await tab(showcase);
    const deaf = card(page, 'deaf');
    const number = await starts(page, 'deaf');
    await says(deaf.words, /runs: \d+ of 40/);
    await deaf.stop.click();
    const { looks: looksLike, cell } = row(page, number);
    await looksLike('asked');
    await says(cell('by'), 'a visitor');
    await says(cell('why'), 'requested: Stop on the page');
    const seconds = async () => Number(/asked to stop (\d+) s ago, still runs/.exec(await cell('came').innerText())?.[1]);
    await says(cell('came'), /asked to stop \d+ s ago, still runs/);
    const before = await seconds();
    await says(cell('came'), new RegExp(`asked to stop (${before + 1}|${before + 2}|${before + 3}) s ago`));
    for (const name of ['heard', 'stopped']) assert.equal(await cell(name).textContent(), '', name);

    await looks(deaf.run, 'overdue');
    await says(deaf.words, /asked to stop \d+ s ago, still runs: .*; overdue/);
    await page.getByRole('link', { name: /console/i }).click();
    await page.waitForURL(/\/console\/$/);
    await page.getByRole('tab', { name: /^Stopping/ }).click();
    await says(page.locator('#stopping [data-id][data-overdue=true]'), 'deaf');
    await page.goto(showcase.site);

    // What is told to one that ends at last has not been heard: as it says then, without the wait for it.
    const told = await page.evaluate(async () => {
        const { ofOperation } = await import('./page/words.mjs');
        const [started_at, at, heard_at, finished_at] = [0, 5000, 5002, 40_000].map((ms) => new Date(ms).toISOString());
        return ofOperation({ state: 'cancelled', started_at, cancel: { at, actor: 'ada', reason: 'requested' }, heard_at, finished_at }, 0);
    });
    assert.equal(told, 'stopped: ada asked for it; told after 2 ms, stopped after 35.0 s');

    // Who comes later sees that it was asked, and not since when.
    await row(page, number).looks('asked');
    await says(row(page, number).cell('came'), /asked to stop, still runs for \d+ s or more/);
    await looks(deaf.run, 'overdue');

    // The server shuts down for as long as that takes, and says so.
    await starts(page, 'import');
    showcase.signal('SIGINT');
    await says(page.locator('#link'), 'The server shuts down');
    await says(card(page, 'import').words, /stopped: the server shuts down.*; what becomes of it is told by the next server$/);
    for (const button of [card(page, 'import').stop, card(page, 'longrunningtask').start]) {
        assert.equal(await button.getAttribute('aria-disabled'), 'true');
    }
    await page.locator('#link[data-state=away]').waitFor();
    await says(deaf.words, 'the server is away');
    const { code, said } = await showcase.ends();
    assert.notEqual(code, 0, said);
    assert.match(said, /deaf/);
    assert.match(said, /overdue|did not stop|still/i, said);
}, { expected: AWAY });
