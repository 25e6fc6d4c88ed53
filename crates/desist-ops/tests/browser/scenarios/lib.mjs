// What every scenario has: a service that does what it is told, a browser of its own, and a page
// that may do nothing wrong.

import { strict as assert } from 'node:assert';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const { DESIST_CHROMIUM, DESIST_FOLDER, DESIST_PACKAGES, DESIST_PORT } = process.env;
export const packages = createRequire(`${DESIST_PACKAGES}/`);
const { chromium } = packages('playwright-core');

export const site = `http://127.0.0.1:${DESIST_PORT}`;
/** How long anything is waited for that should come at once. */
const PATIENCE = 30_000;
const ARGUMENTS = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update',
    // Else a tab that was clicked has one frame a second while another one is in front.
    '--disable-frame-rate-limit',
];

let isOver = false;
const lines = createInterface({ input: process.stdin });
// Whoever started this is gone.
lines.on('close', () => isOver || process.exit(3));
const answers = lines[Symbol.asyncIterator]();

/** Has the service do something, and gives its answer. */
export async function order(name, more = {}) {
    process.stdout.write(`${JSON.stringify({ order: name, ...more })}\n`);
    const { answer, error } = JSON.parse((await answers.next()).value);
    assert.equal(error, undefined, error);
    return answer;
}

/** Starts one, and waits until it runs. */
export async function running(kind, more = {}) {
    const id = await order('start', { kind, actor: 'ada', ...more });
    await order('running', { id });
    return id;
}

/**
 * Runs `body` with a page, and fails if it throws, or if any page has had an error that `expected`
 * does not name.
 */
export async function scenario(body, { expected = [] } = {}) {
    const browser = await chromium.launchPersistentContext(join(DESIST_FOLDER, 'browser'), {
        executablePath: DESIST_CHROMIUM, headless: true, args: ARGUMENTS,
        viewport: { width: 1280, height: 800 },
    });
    browser.setDefaultTimeout(PATIENCE);
    const faults = [];
    const note = (text) => expected.some((one) => one.test(text)) || faults.push(text);
    await browser.addInitScript(() => {
        addEventListener('securitypolicyviolation', (event) =>
            console.error(`against the policy: ${event.violatedDirective} ${event.blockedURI}`));
    });
    const guard = (page) => {
        page.on('pageerror', (error) => note(`uncaught: ${error.stack ?? error}`));
        page.on('crash', () => note('the page has crashed'));
        page.on('console', (message) => {
            if (message.type() === 'error') note(`console: ${message.text()} ${message.location().url}`);
        });
        page.on('dialog', (dialog) => {
            note(`a dialog: ${dialog.message()}`);
            dialog.dismiss().catch(() => {});
        });
        page.on('request', (request) => {
            const url = request.url();
            if (!/^(data|blob|about):/.test(url) && new URL(url).port !== DESIST_PORT) {
                note(`asked somebody else: ${url}`);
            }
        });
    };
    browser.pages().forEach(guard);
    browser.on('page', guard);
    const [page] = browser.pages();
    try {
        await body(page, browser);
        assert.deepEqual(faults, [], 'the page has done something wrong');
    } catch (error) {
        console.error(error);
        console.error(faults.join('\n'));
        console.error(await page.locator('body').ariaSnapshot().catch(String));
        process.exitCode = 1;
    } finally {
        isOver = true;
        await browser.close();
        lines.close();
    }
}

/** Opens a console, and waits until it is live. */
export async function open(page, path = '/console/') {
    await page.goto(site + path);
    await live(page);
}

export async function live(page) {
    await page.locator('#link[data-state=live]').waitFor();
}

export const tab = (page, name) => page.getByRole('tab', { name, exact: true });

/** Goes to a tab, and gives its panel. */
export async function show(page, name) {
    await tab(page, name).click();
    const panel = page.locator(`#${name.toLowerCase()}`);
    await panel.waitFor();
    return panel;
}

/** The row of one among those that run. */
export const row = (page, id) => page.locator(`#running [role=row][data-id="${id}"]`);

/** Waits until a locator has so many. */
export async function counted(locator, number) {
    if (number > 0) await locator.nth(number - 1).waitFor();
    await locator.nth(number).waitFor({ state: 'detached' });
}

/** Waits until what a locator shows has a text in it; white space counts as one blank. */
export async function says(locator, text) {
    await locator.filter({ hasText: text }).first().waitFor();
}

/** Asks for a cancel as the page does, or worse, and gives the status and what was said. */
export const post = (page, url, headers = { 'x-desist': '1' }) => page.evaluate(
    async ([url, headers]) => {
        const answer = await fetch(url, {
            method: 'POST', body: '{}', headers: { 'content-type': 'application/json', ...headers },
        });
        return [answer.status, (await answer.json()).detail];
    }, [url, headers]);

/** The button that asks whether to cancel one. */
export const cancelOf = (row) => row.getByRole('button', { name: /^Cancel / });

export const dialog = (page) => page.getByRole('dialog', { name: /cancel/i });
