// Whatever others wrote is shown as it is written, and nothing of it is run.

import { strict as assert } from 'node:assert';
import { cancelOf, dialog, open, order, row, running, says, scenario, show, site } from './lib.mjs';

const RUN = 'window.hasRun=1';
const HOSTILE = [
    `<img src=x onerror=${RUN}>`,
    `"><script>${RUN}</script>`,
    `'><svg/onload=${RUN}>`,
    `javascript:${RUN}`,
    `</textarea></title><iframe srcdoc="<script>parent.hasRun=1</script>">`,
    `\${${RUN}}{{constructor.constructor('${RUN}')()}}`,
    '\u202egnp.exe\u2066 \u200b\ufeff',
    'a\u0001\u001b[31m\u007f\u0085\r\n\u2028c',
    '__proto__',
];

/** What would turn the text around it, or not be seen. */
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;
const answers = [];

await scenario(async (page) => {
    page.on('response', (answer) => answers.push([answer.url(), answer.headers()]));
    const unseen = () => page.evaluate((unseen) => {
        const texts = [document.body.innerText];
        for (const { title, ariaLabel } of document.querySelectorAll('[title], [aria-label]')) {
            texts.push(title, ariaLabel ?? '');
        }
        return texts.filter((text) => new RegExp(unseen).test(text));
    }, UNSEEN.source);
    const ids = [];
    for (const text of [...HOSTILE, 'x'.repeat(10_000)]) {
        const short = text.slice(0, 200);
        ids.push(await running('export', {
            actor: short, key: short, tags: [short], work: { steps: 1, message: text, fails: text },
        }));
    }
    await open(page, `/console/?${encodeURIComponent(HOSTILE[1])}#${encodeURIComponent(HOSTILE[0])}`);
    for (const [n, id] of ids.entries()) {
        const shown = row(page, id);
        await shown.scrollIntoViewIfNeeded();
        if (n < 6) await says(shown, HOSTILE[n]);
        const box = await shown.boundingBox();
        assert.ok(box.height < 200 && box.width <= 1280, 'a long text does not burst its row');
    }
    assert.deepEqual(await unseen(), []);
    const details = page.locator('#details');
    for (const n of [0, 1, 4, 6, 7, 9]) {
        await row(page, ids[n]).click();
        await details.waitFor();
        if (n < 6) await says(details, HOSTILE[n]);
        await says(details, /started/i);
        assert.deepEqual(await unseen(), []);
        await page.keyboard.press('Escape');
        await details.waitFor({ state: 'hidden' });
    }

    // What is written here goes out and comes back.
    await cancelOf(row(page, ids[0])).click();
    await dialog(page).getByLabel('Message').fill(HOSTILE[1]);
    await dialog(page).getByRole('button', { name: 'Cancel operation' }).click();
    const { cancel } = await order('ended', { id: ids[0] });
    assert.equal(cancel.message, HOSTILE[1]);
    await says(row(page, ids[0]), HOSTILE[1]);
    await order('cancel', { id: ids[1], actor: HOSTILE[0], message: HOSTILE[2] });
    await says(row(page, ids[1]), HOSTILE[2]);

    // They fail, and say so.
    for (const id of ids.slice(2)) await order('step', { id, steps: 1 });
    await page.locator(`#running [data-id="${ids[3]}"][data-state=failed]`).waitFor();
    const history = await show(page, 'History');
    await history.locator(`[data-id="${ids[3]}"][data-state=failed]`).waitFor();
    for (const label of ['Started by', 'Cancelled by']) {
        await history.getByLabel(label).fill(HOSTILE[0]);
        await history.getByLabel(label).press('Enter');
        await history.locator(`[data-id="${ids[label === 'Started by' ? 0 : 1]}"]`).waitFor();
        await history.getByLabel(label).fill('');
        await history.getByLabel(label).press('Enter');
    }
    for (const name of ['Stopping', 'Latency', 'Process']) await show(page, name);

    assert.equal(await page.evaluate(() => window.hasRun), undefined, 'something has run');
    assert.equal(await page.evaluate(() => ({}).polluted), undefined);
    const made = await page.locator('img[src=x], iframe, script:not([src]), [onerror], [onload]').count();
    assert.equal(made, 0, 'a text has become an element');
    // The policy would not have let it: of the page, and of each thing it is made of.
    const [, { 'content-security-policy': policy }] = answers.find(([url]) => url.startsWith(`${site}/console/?`));
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe-|\*|https?:/);
    for (const [url, headers] of answers) {
        assert.equal(headers['x-content-type-options'], 'nosniff', url);
    }
});
