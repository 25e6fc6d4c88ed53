// What there was: found by kind, reason and people, anew when it is asked for anew; and what one
// request has not brought is brought by the next one.

import { counted, open, order, row, running, says, scenario, show } from './lib.mjs';

await scenario(async (page) => {
    await open(page);
    const cancelled = await running('export', { work: { steps: 1 }, actor: 'ada' });
    await order('cancel', { id: cancelled, actor: 'carol', message: 'enough' });
    await order('ended', { id: cancelled });
    const history = await show(page, 'History');
    const line = (id) => history.locator(`[data-id="${id}"]`);
    const shows = history.getByRole('button', { name: 'Show', exact: true });
    await line(cancelled).waitFor();

    // The same once more, with what there is by now.
    const later = await order('start', { kind: 'deaf', work: { steps: 1 }, actor: 'ben' });
    await shows.click();
    await line(later).waitFor();

    // The database is away for a moment.
    await page.route('**/api/?*', (route) => route.fulfill({
        status: 503, contentType: 'application/problem+json', body: '{"detail":"come again later"}' }));
    await shows.click();
    await says(history, 'come again later');
    await page.unroute('**/api/?*');
    await shows.click();
    await line(later).waitFor();
    await history.getByText('come again later').waitFor({ state: 'detached' });

    const only = async (name, value, [is, not]) => {
        const field = history.getByLabel(name);
        const isList = await field.evaluate((field) => field.tagName === 'SELECT');
        await (isList ? field.selectOption(value) : field.fill(value));
        await shows.click();
        await line(not).waitFor({ state: 'detached' });
        await line(is).waitFor();
        await history.getByRole('button', { name: 'Clear' }).click();
        await line(not).waitFor();
    };
    await only('Kind', 'deaf', [later, cancelled]);
    await only('Outcome', 'cancelled', [cancelled, later]);
    await only('Reason', 'requested', [cancelled, later]);
    await only('Started by', 'ben', [later, cancelled]);
    await only('Cancelled by', 'carol', [cancelled, later]);
    // One that no process here knows.
    await history.getByLabel('Kind').fill('of another release');
    await shows.click();
    await counted(history.locator('[data-id]'), 0);
    await says(history, /nothing|no /i);

    // Details of which the first request fails.
    await show(page, 'Running');
    let asked = 0;
    await page.route('**/history', (route) => (asked++ === 0 ? route.abort() : route.continue()));
    await row(page, later).click();
    const details = page.locator('#details');
    await says(details, /claimed/i);
    await order('cancel', { id: later, actor: 'carol', message: 'the first' });
    await says(details, 'the first');
    await order('cancel', { id: later, actor: 'dora', message: 'the second' });
    await says(details, 'the second');
    await order('step', { id: later, steps: 1 });
}, { expected: [/status of 503/, /ERR_FAILED/] });
