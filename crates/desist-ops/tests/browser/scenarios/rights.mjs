// Who may not see or change something does not.

import { strict as assert } from 'node:assert';
import { cancelOf, counted, live, open, order, post, row, running, says, scenario, site, tab } from './lib.mjs';

await scenario(async (page) => {
    const hers = await running('export', { actor: 'ada', work: { steps: 1 } });
    const his = await running('export', { actor: 'bob', work: { steps: 1 } });
    const untouched = async (id) => assert.equal((await order('shown', { id })).cancel, null);

    // Nobody has said who may do what.
    const problem = page.locator('#problem');
    for (const [path, sentence] of [['/without-a-hook/', 'authorize'], ['/denied/', /\w+ \w+/]]) {
        await page.goto(site + path);
        await says(problem, sentence);
        await problem.getByText('Try again').click();
        await says(problem, sentence);
        assert.ok(!(await page.content()).includes('export'), 'nothing is told of what there is');
        assert.match(`${(await post(page, `api/${hers}/cancel`))[0]}`, /403|404/);
        await untouched(hers);
    }

    // One of them may be seen no more, though somebody looks at just that.
    const secret = await running('export', { work: { steps: 1 }, tags: ['secret'] });
    const aside = await page.context().newPage();
    await open(aside, '/secret-for-a-while/');
    await row(aside, secret).click();
    await says(aside.locator('#details'), secret);
    await row(aside, secret).focus();

    // Nobody may any more, while the page is open.
    await open(page, '/for-a-while/');
    await row(page, hers).waitFor();
    await order('shut_out');
    await page.locator('#link[data-state=refused]').waitFor();
    await says(problem, /\w+ \w+/);
    await counted(row(page, hers), 0);
    await row(aside, secret).waitFor({ state: 'detached' });
    await row(aside, hers).waitFor();
    await live(aside);
    await aside.close();
    await counted(page.getByRole('button', { name: /^Cancel / }).and(page.locator(':enabled')), 0);
    await problem.getByRole('button', { name: 'Try again' }).click();
    await says(problem, /\w+ \w+/);
    assert.match(`${(await post(page, `api/${hers}/cancel`))[0]}`, /403|404/);
    await untouched(hers);

    // Only one's own.
    await open(page, '/own/');
    await row(page, his).waitFor();
    await cancelOf(row(page, his)).waitFor();
    await counted(page.locator('#running [role=row][data-id]'), 1);
    assert.ok(!(await page.content()).includes(hers), 'nothing is told of what belongs to others');
    assert.equal((await post(page, `api/${hers}/cancel`))[0], 404);
    await untouched(hers);

    // A console that is only looked at.
    await open(page, '/read-only/');
    await row(page, hers).waitFor();
    await row(page, his).waitFor();
    await counted(page.getByRole('button', { name: /^Cancel / }), 0);
    await row(page, hers).click();
    await page.locator('#details').waitFor();
    await counted(page.getByRole('button', { name: /^Cancel / }), 0);
    const [status, detail] = await post(page, `api/${hers}/cancel`);
    assert.ok(status === 403 || status === 404 || status === 405, `${status}`);
    assert.ok(detail.length > 10, detail);
    await untouched(hers);

    // A page of another site, with all that its forms and scripts may do unasked.
    const foreign = site.replace('127.0.0.1', 'localhost');
    const target = `${site}/console/api/${hers}/cancel`;
    await page.goto(`${foreign}/foreign`);
    const answers = [];
    page.on('response', (answer) => answer.url() === target && answers.push(answer.status()));
    await page.evaluate(async (target) => {
        const body = '{"mode":"cancel"}';
        for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
            await fetch(target, {
                method: 'POST', mode: 'no-cors', body, headers: { 'content-type': type },
                credentials: 'include',
            }).catch(() => 'its answer is kept from them, too');
        }
    }, target);
    await page.evaluate(async (target) => {
        const form = document.body.appendChild(document.createElement('form'));
        Object.assign(form, { method: 'POST', action: target, enctype: 'text/plain' });
        const field = form.appendChild(document.createElement('input'));
        Object.assign(field, { name: '{"mode":"cancel","message":"', value: '"}' });
        form.submit();
    }, target);
    await page.waitForURL(target);
    assert.ok(answers.length > 0 && answers.every((status) => status === 403), `${answers}`);
    await untouched(hers);
    // The same from a page of this site is heard: it was for where it came from.
    await page.goto(`${site}/foreign`);
    assert.equal((await post(page, target, {}))[0] < 300, true);
    assert.equal((await order('ended', { id: hers })).state, 'cancelled');

    await open(page);
    await tab(page, 'History').click();
    await page.locator(`#history [data-id="${hers}"]`).waitFor();
    await live(page);
}, { expected: [/ERR_BLOCKED_BY_RESPONSE/, /the server responded with a status of 4\d\d/] });
