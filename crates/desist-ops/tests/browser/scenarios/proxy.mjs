// What a proxy answers in the place of the service is no refusal of that, and is tried again.

import { strict as assert } from 'node:assert';
import { live, open, order, row, running, says, scenario } from './lib.mjs';

await scenario(async (page) => {
    const id = await running('export', { work: { steps: 1 } });
    await open(page);
    await row(page, id).waitFor();
    let asked = 0;
    let answer = { status: 404, contentType: 'text/html', body: '<h1>no backend</h1>' };
    await page.route('**/live', (route) => {
        asked++;
        return route.fulfill(answer);
    });
    await order('kill');
    await order('begin');
    await page.locator('#link[data-state=stale]').waitFor();
    while (asked < 2) await page.waitForRequest('**/live');
    assert.notEqual(await page.locator('#link').getAttribute('data-state'), 'refused');
    await page.unroute('**/live');
    await live(page);

    // One of ours is the last word, until the reader wants it otherwise.
    answer = {
        status: 403, contentType: 'application/problem+json', body: '{"status":403,"detail":"you may not do that"}' };
    await page.route('**/live', (route) => {
        asked++;
        return route.fulfill(answer);
    });
    await order('kill');
    await order('begin');
    await page.locator('#link[data-state=refused]').waitFor();
    await says(page.locator('#problem'), 'you may not do that');
    await page.unroute('**/live');
    await page.locator('#problem').getByRole('button', { name: 'Try again' }).click();
    await live(page);
}, { expected: [/status of 40[34]/, /ERR_CONNECTION/, /ERR_INCOMPLETE/, /ERR_EMPTY/, /network error/i] });
