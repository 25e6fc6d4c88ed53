// All of it without a mouse; it is always seen where one is, and nobody is thrown out of it.

import { strict as assert } from 'node:assert';
import { live, open, order, row, running, says, scenario } from './lib.mjs';

/** What has the focus: how it is called, where it is, and whether that is seen. */
const focus = (page) => page.evaluate(() => {
    const at = document.activeElement;
    const style = (element) => getComputedStyle(element);
    const box = at.getBoundingClientRect();
    const [x, y] = [
        Math.min(Math.max(box.x + box.width / 2, 0), innerWidth - 1),
        Math.min(Math.max(box.y + box.height / 2, 0), innerHeight - 1)];
    const top = document.elementFromPoint(x, y);
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
        isSeen: ring && at.matches(':focus-visible') && box.bottom > 0 && box.top < innerHeight
            && (at.contains(top) || Boolean(at.labels?.[0]?.contains(top))),
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
    const go = async (key, what, isIt) => {
        const been = [];
        for (let n = 0; n < 40; n++) {
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
    await go('Tab', 'the last word', ({ name }) => name.startsWith('Cancel operation'));
    await page.keyboard.press('Enter');
    await asks.waitFor({ state: 'hidden' });
    const { cancel } = await order('ended', { id });
    assert.equal(cancel.message, 'the wrong table');
    await page.locator(`#running [data-id="${id}"][data-state=cancelled]`).waitFor();
    assert.notEqual((await focus(page)).tag, 'body', 'nothing has the focus after the cancel');

    // Where it is found later.
    await go('Shift+Tab', 'the tabs', ({ role }) => role === 'tab');
    await go('ArrowRight', 'the history', ({ name }) => /^History/.test(name));
    await press('Enter');
    await page.locator('#history').waitFor();
    await go('Tab', 'the outcome', ({ name }) => /^Outcome/.test(name));
    await page.keyboard.type('cancelled');
    const history = page.locator('#history');
    await page.keyboard.press('Enter');
    await page.locator(`#history [data-id="${id}"]`).waitFor();
    await history.locator(`[data-id="${other}"]`).waitFor({ state: 'detached' });
    await live(page);
    assert.deepEqual(await page.evaluate(() => window.lostFocus), [], 'nothing had the focus');
});
