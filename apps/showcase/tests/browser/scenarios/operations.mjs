// Operations: stopped from the page, let alone, and found again by another tab.

import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { AWAY, Showcase, card, counted, live, looks, row, says, scenario, starts, stoppedFor } from './lib.mjs';

await scenario(async ({ tab, context }) => {
    let showcase = await Showcase.start();
    const page = await tab(showcase);

    const imports = card(page, 'import');
    const number = await starts(page, 'import');
    await says(imports.words, /runs: [\d,]+ of 2,000/);
    await says(row(page, number).cell('whom'), 'this page');
    // A Stop that does not arrive can be pressed again.
    await page.route(/\/cancel$/, (route) => route.abort('connectionreset'), { times: 1 });
    await imports.stop.click();
    await says(imports.words, /runs: .*; not asked to stop: the server was not reached; try again/);
    await imports.stop.click();
    await looks(imports.run, 'stopped');
    await says(imports.words, /stopped: a visitor asked for it \(Stop on the page\); heard after [\d.]+ m?s, stopped after/);
    await stoppedFor(page, number, { by: 'a visitor', why: 'requested: Stop on the page' });
    await says(page.locator('#said'), /Import: stopped/);

    // What is let alone is finished: an import of few, and an export, whose file can be fetched.
    await imports.field('documents').fill('70');
    await imports.start.click();
    await counted(imports.runs, 2);
    await looks(imports.run, 'finished');
    await says(imports.words, /finished after .*: 70 documents/);
    await imports.field('documents').fill('2000');
    const exports = card(page, 'export');
    await exports.start.click();
    await looks(exports.run, 'finished');
    await says(exports.words, /finished after .*: \d{4} documents/);
    const many = Number(/: (\d+) documents/.exec(await exports.words.innerText())[1]);
    const [download] = await Promise.all([
        page.waitForEvent('download'),
        exports.all.getByRole('link', { name: 'Download the file' }).click(),
    ]);
    const lines = readFileSync(await download.path(), 'utf8').trimEnd().split('\n').map(JSON.parse);
    assert.equal(lines.length, many);
    assert.ok(many >= 2070, `there were 2000 before, and 70 were imported: ${many}`);

    // After a new start it is another instance that has the folder, and the file is there.
    showcase.signal('SIGTERM');
    await showcase.ends();
    await page.locator('#link[data-state=away]').waitFor();
    showcase = await Showcase.start({ port: showcase.port });
    await live(page);
    await exports.all.getByRole('link', { name: 'Download the file' }).waitFor();

    // What lies in the folder of another instance cannot be fetched here.
    await page.route(/\/operations\/op_\w+$/, async (route) => {
        const answer = await route.fetch();
        const op = await answer.json();
        if (op.output) op.output = { ...op.output, on: 'another instance', link: '/exports/op_of_another.jsonl' };
        await route.fulfill({ response: answer, json: op });
    });
    await exports.start.click();
    await counted(exports.runs, 2);
    await looks(exports.run, 'finished');
    await says(exports.words, /finished after .*: \d{4} documents; the file is on another instance$/);
    await counted(exports.run.getByRole('link'), 0);
    await page.unroute(/\/operations\/op_\w+$/);

    // It goes on without its tab.
    await imports.start.click();
    await says(imports.words, /runs: [\d,]+ of 2,000/);
    const going = Number(/^#(\d+)/.exec(await imports.words.innerText())[1]);
    await page.close();
    const next = await tab(showcase);
    const found = card(next, 'import');
    await looks(found.run, 'running');
    await counted(found.runs, 1);
    await says(found.words, new RegExp(`^#${going} runs: [\\d,]+ of 2,000`));
    // A third one sees what becomes of it, though it has to ask twice.
    await context.route(/\/operations\?state=/, (route) => route.abort('connectionreset'), { times: 1 });
    const third = await tab(showcase);
    await looks(card(third, 'import').run, 'running');
    await found.stop.click();
    for (const one of [next, third]) {
        await looks(card(one, 'import').run, 'stopped');
        await stoppedFor(one, going, { by: 'a visitor', why: 'requested' });
        await says(row(one, going).cell('whom'), 'a visitor');
    }
    // One that a tab begins is there in every other, once, and can be stopped there.
    await starts(next, 'import');
    const elsewhere = card(third, 'import');
    await looks(elsewhere.run, 'running');
    await counted(elsewhere.runs, 2);
    await elsewhere.stop.click();
    await looks(card(next, 'import').run, 'stopped');
    await counted(card(next, 'import').runs, 2);
}, { expected: [...AWAY, /status of 404/, /it is not known which operations run: .* the server was not reached/] });
