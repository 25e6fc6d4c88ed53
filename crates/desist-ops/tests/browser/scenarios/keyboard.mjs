// All of it without a mouse; it is always seen where one is, and nobody is thrown out of it.

import { strict as assert } from 'node:assert';
import { live, open, order, row, running, says, scenario } from './lib.mjs';

/** What has the focus: how it is called, where it is, and whether that is seen. */
const focus = (page) => page.evaluate(() => {
    const at = document.activeElement;
    const style = (element) => getComputedStyle(element);
    const box = at.getBoundingClientRect();
    // Nothing may cover the whole of it.
    const parts = [0.1, 0.3, 0.5, 0.7, 0.9];
    const tops = parts.flatMap((x) => parts.map((y) =>
        document.elementFromPoint(box.x + box.width * x, box.y + box.height * y)));
    const isMine = (top) => at.contains(top) || (top !== null && at.labels?.[0]?.contains(top));
    const ring = ['', '::before', '::after'].some((part) => {
        const { outlineStyle, outlineWidth, boxShadow } = part ? getComputedStyle(at, part) : style(at);
        return (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1) || boxShadow !== 'none';
    });
    return {
        tag: at.tagName.toLowerCase(),
        role: at.getAttribute('role') ?? '',
        name: at.ariaLabel ?? at.labels?.[0]?.innerText ?? at.innerText?.slice(0, 60) ?? '',
        id: at.closest('[data-id]')?.dataset.id ?? '',
        inDialog: Boolean(at.closest('[role=dialog], dialog')),
        covers: tops[0]?.outerHTML.slice(0, 80) ?? '',
        isSeen: ring && at.matches(':focus-visible') && tops.some(isMine),
    };
});

/** From then on it is noted when nothing has the focus any more. */
const watchFocus = (page) => page.evaluate(() => {
    window.lostFocus = [];
    const look = (why) => requestAnimationFrame(() => requestAnimationFrame(() => {
        if ((document.activeElement ?? document.body) === document.body && !window.isBrowsers) {
            window.lostFocus.push(`${why} at ${performance.now().toFixed()}`);
        }
    }));
    // From the last part of a dialog Tab leads to the browser's own, and from there to the first.
    addEventListener('keyup', (event) => {
        window.isBrowsers = event.key === 'Tab' && document.querySelector('dialog:modal') !== null;
        look(`after ${event.key}`);
    }, true);
    new MutationObserver(() => look('the page was changed'))
        .observe(document.body, { childList: true, subtree: true });
});

await scenario(async (page) => {
    const press = async (key) => {
        await page.keyboard.press(key);
        let at = await focus(page);
        if (at.tag === 'body' && key === 'Tab' && await page.locator('dialog:modal').count() > 0) {
            await page.keyboard.press(key);
            at = await focus(page);
        }
        assert.ok(at.tag !== 'body', `${key} has led nowhere`);
        assert.ok(at.isSeen, `after ${key} it is not seen that this has the focus: ${JSON.stringify(at)}`);
        return at;
    };
    /** Presses a key until what is meant has the focus. */
    const go = async (key, what, isIt, most = 40) => {
        const been = [];
        for (let n = 0; n < most; n++) {
            const at = await focus(page);
            if (isIt(at)) return at;
            been.push(`${at.tag} ${at.role} "${at.name}"`);
            await press(key);
        }
        assert.fail(`${what} is not reached by ${key}; these were: ${been.join(', ')}`);
    };

    const other = await running('export', { work: { steps: 2 } });
    const id = await running('export', { work: { steps: 3 }, key: 'orders' });
    await open(page);
    await row(page, id).waitFor();
    await row(page, other).waitFor();
    await page.keyboard.press('Tab');
    await watchFocus(page);
    await go('Tab', 'the tabs', ({ role }) => role === 'tab');
    await go('Tab', 'the operations', ({ id }) => id !== '');
    await press('Home');
    await go('ArrowDown', 'the operation', (at) => at.id === id);

    // It stays where it is while the rows go on.
    await order('step', { id, steps: 1 });
    await row(page, id).locator('[role=progressbar][aria-valuenow="33"]').waitFor();
    const appears = await running('export', { work: { steps: 1 } });
    await row(page, appears).waitFor();
    await order('step', { id: other, steps: 2 });
    await page.locator(`#running [data-id="${other}"][data-state=succeeded]`).waitFor();
    assert.equal((await focus(page)).id, id, 'the focus has gone to another row');

    // What there is to know of it.
    await press('Enter');
    const details = page.locator('#details');
    await details.waitFor();
    await says(details, 'orders');
    assert.ok((await focus(page)).inDialog, 'the focus is not in what was opened');
    await press('Escape');
    await details.waitFor({ state: 'hidden' });
    assert.equal((await focus(page)).id, id, 'the focus has not come back to its row');

    // Cancel, thought better of, and then not.
    const asks = page.getByRole('dialog', { name: /cancel/i });
    const toCancel = () => go('Tab', 'its button', (at) => at.id === id && /^Cancel/.test(at.name));
    await toCancel();
    await press('Enter');
    await asks.waitFor();
    await press('Escape');
    await asks.waitFor({ state: 'hidden' });
    assert.equal((await focus(page)).id, id, 'the focus has not come back to its row');
    assert.equal((await order('shown', { id })).cancel, null);
    await toCancel();
    await press('Enter');
    await asks.waitFor();
    await go('Tab', 'the message', ({ tag }) => tag === 'textarea');
    await page.keyboard.type('the wrong table');
    await go('Tab', 'the last word', ({ name }) => name.startsWith('Cancel operation'));
    // It cannot be left by it.
    for (let n = 0; n < 12; n++) {
        const at = await press('Tab');
        assert.ok(at.inDialog, `the focus has left the dialog: ${JSON.stringify(at)}`);
    }
    // It is refused at first: that is said, and what was written stays.
    const send = () => go('Tab', 'the last word', ({ name }) => name.startsWith('Cancel operation'));
    await page.route('**/cancel', (route) => route.fulfill({
        status: 503, contentType: 'application/problem+json',
        body: '{"title":"Busy","status":503,"detail":"the database is busy"}',
    }), { times: 1 });
    await send();
    await press('Enter');
    await says(asks, 'the database is busy');
    assert.match((await focus(page)).name, /^Cancel operation/);
    assert.equal(await asks.getByLabel('Message').inputValue(), 'the wrong table');
    await press('Enter');
    await asks.waitFor({ state: 'hidden' });
    const { cancel } = await order('ended', { id });
    assert.equal(cancel.message, 'the wrong table');
    await page.locator(`#running [data-id="${id}"][data-state=cancelled]`).waitFor();
    assert.equal((await focus(page)).id, id, 'the focus has not come back to its row');

    // One of those that stop ends under it.
    const toTab = (name) => go('ArrowRight', name, (at) => at.role === 'tab' && at.name.startsWith(name));
    const deaf = await running('deaf', { work: { steps: 1 } });
    await order('cancel', { id: deaf, actor: 'carol', message: 'no' });
    await go('Shift+Tab', 'the tabs', ({ role }) => role === 'tab');
    await toTab('Stopping');
    await page.locator(`#stopping [data-id="${deaf}"]`).waitFor();
    await go('Tab', 'what is overdue', (at) => at.id === deaf);
    await order('step', { id: deaf, steps: 1 });
    await page.locator(`#stopping [data-id="${deaf}"]`).waitFor({ state: 'detached' });

    // Where it is found later, below what came since.
    await order('fill', { number: 60 });
    await go('Shift+Tab', 'the tabs', ({ role }) => role === 'tab');
    await toTab('History');
    const history = page.locator('#history');
    const lines = history.locator('[data-id]');
    await lines.first().waitFor();
    await go('Tab', 'older ones', ({ name }) => name === 'Load older', 200);
    const before = await lines.count();
    await press('Enter');
    await lines.nth(before).waitFor();
    await history.locator(`[data-id="${id}"]`).waitFor();
    await go('Shift+Tab', 'the outcome', ({ name }) => /^Outcome/.test(name), 200);
    await page.keyboard.type('cancelled');
    await page.keyboard.press('Enter');
    await history.locator(`[data-id="${other}"]`).waitFor({ state: 'detached' });
    await history.locator(`[data-id="${id}"]`).waitFor();
    await live(page);
    assert.deepEqual(await page.evaluate(() => window.lostFocus), [], 'nothing had the focus');
}, { expected: [/status of 503/] });
