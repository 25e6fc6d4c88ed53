// What every scenario has: showcases that can be started and ended, a browser of its own, and tabs
// that may do nothing wrong.

import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { DESIST_CHROMIUM, DESIST_FOLDER, DESIST_PACKAGES, DESIST_SHOWCASE } = process.env;
export const packages = createRequire(`${DESIST_PACKAGES}/`);
const { chromium } = packages('playwright-core');

/** How long anything is waited for that should come at once. */
export const PATIENCE = 30_000;
const ARGUMENTS = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update',
    // Else a tab that was clicked has one frame a second while another one is in front.
    '--disable-frame-rate-limit',
];
/** What a browser says of a server that is away. */
export const AWAY = [/net::ERR_(CONNECTION|SOCKET|INCOMPLETE|EMPTY|ABORTED|CONTENT_LENGTH)/, /status of 503/];

// Whoever started this is gone.
process.stdin.resume().on('end', () => process.exit(3));
const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

/** Waits for a promise, and says for what if it does not come. */
export function within(what, promise, patience = PATIENCE) {
    let timer;
    const late = new Promise((_, refuse) => {
        timer = setTimeout(() => refuse(new Error(`not within ${patience} ms: ${what}`)), patience);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A child process, and what it says. */
export class Program {
    said = '';

    constructor(program, words, options = {}) {
        this.child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
        children.add(this.child);
        for (const stream of [this.child.stdout, this.child.stderr]) {
            stream.setEncoding('utf8').on('data', (text) => {
                this.said += text;
                this.child.emit('said');
            });
        }
        // Its last words come after its exit.
        this.over = once(this.child, 'close').then(([code]) => {
            children.delete(this.child);
            this.child.emit('said');
            return { code, said: this.said };
        });
    }

    /** Waits until it has said that, and gives the match. */
    async says(pattern) {
        const heard = async () => {
            for (;;) {
                const match = pattern.exec(this.said);
                if (match) return match;
                assert.equal(this.child.exitCode, null, `it has ended: ${this.said}`);
                await once(this.child, 'said');
            }
        };
        return within(`it says ${pattern}`, heard()).catch((error) => assert.fail(`${error}\n${this.said}`));
    }

    /** Gives its code and all that it said. */
    ends() {
        return within('it ends', this.over);
    }

    signal(name) {
        this.child.kill(name);
    }
}

/** One that has started. */
export class Showcase extends Program {
    static async start({ port = 0, data = 'data', more = [] } = {}) {
        const temporary = join(DESIST_FOLDER, 'tmp');
        mkdirSync(temporary, { recursive: true });
        const env = { ...process.env, TMPDIR: temporary };
        for (const name of Object.keys(env)) if (/^(PORT|SHOWCASE_.*)$/.test(name)) delete env[name];
        const words = ['--port', String(port), '--data', join(DESIST_FOLDER, data), ...more];
        const showcase = new Showcase(DESIST_SHOWCASE, words, { env });
        const [, address] = await showcase.says(/showcase: http:\/\/([\d.:]+)/);
        showcase.port = Number(address.split(':')[1]);
        showcase.site = `http://${address}`;
        return showcase;
    }
}

/**
 * Runs `body` with a browser, and fails if it throws, or if any tab has had an error that `expected`
 * does not name.
 * @param {(browser: {tab: (showcase: Showcase) => Promise<any>, context: any}) => Promise<void>} body
 */
export async function scenario(body, { expected = [], options = {} } = {}) {
    const browser = await chromium.launch({ executablePath: DESIST_CHROMIUM, headless: true, args: ARGUMENTS });
    const faults = [];
    const note = (text) => expected.some((one) => one.test(text)) || faults.push(text);
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    context.setDefaultTimeout(PATIENCE);
    await context.addInitScript(() => {
        addEventListener('securitypolicyviolation', (event) =>
            console.error(`against the policy: ${event.violatedDirective} ${event.blockedURI}`));
    });
    const sites = new Set();
    context.on('page', (page) => guard(page, note, sites));
    const tab = async (showcase, path = '/') => {
        sites.add(showcase.site);
        const page = await context.newPage();
        await page.goto(showcase.site + path);
        if (path === '/') await live(page);
        return page;
    };
    try {
        await body({ tab, context });
        assert.deepEqual(faults, [], 'a page has done something wrong');
    } catch (error) {
        console.log(error);
        console.log(faults.join('\n'));
        for (const page of context.pages()) console.log(await page.locator('body').ariaSnapshot().catch(String));
        process.exitCode = 1;
    } finally {
        await browser.close();
        const left = [...children].map((child) => once(child, 'close'));
        children.forEach((child) => child.kill('SIGKILL'));
        await Promise.all(left);
        process.exit();
    }
}

function guard(page, note, sites) {
    page.on('pageerror', (error) => note(`uncaught: ${error.stack ?? error}`));
    page.on('crash', () => note('a page has crashed'));
    page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) note(`console: ${message.text()} ${message.location().url}`);
    });
    page.on('request', (request) => {
        const url = request.url();
        if (!/^(data|blob|about):/.test(url) && !sites.has(new URL(url).origin)) note(`asked somebody else: ${url}`);
    });
}

export async function live(page) {
    await page.locator('#link[data-state=live]').waitFor();
}

/** Tabs of a browser without a window are all in sight; this one is, or is not. */
export async function isSeen(page, is) {
    await page.evaluate((state) => {
        Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }, is ? 'visible' : 'hidden');
}

/** A card, and what is on it. */
export function card(page, id) {
    const all = page.locator(`[data-card="${id}"]`);
    return {
        all,
        start: all.locator('button.start'),
        runs: all.locator('.run'),
        /** That which was started last. */
        run: all.locator('.run').first(),
        stop: all.locator('.run').first().locator('button.stop'),
        words: all.locator('.run').first().locator('.outcome'),
        field: (name) => all.locator(`input[name="${name}"]`),
    };
}

/** Starts it, and waits until the log says so; gives the number of the work. */
export async function starts(page, id) {
    const { start, run, words } = card(page, id);
    const before = await run.elementHandle();
    await start.click();
    await page.waitForFunction(([id, before]) => {
        const run = document.querySelector(`[data-card="${id}"] .run`);
        return run !== before && run.querySelector('.number').textContent !== '';
    }, [id, before]);
    return Number(/^#(\d+) /.exec(await words.innerText())[1]);
}

/** Waits until a run looks like that: `running`, `asked`, `stopped`, `finished`, .. */
export async function looks(run, how) {
    await run.and(run.page().locator(`[data-looks="${how}"]`)).waitFor();
}

/** The row of a work in the log; the newest, where two servers had one of this number. */
export function row(page, number) {
    const all = page.locator(`#log tr[data-work="${number}"]`).first();
    return {
        all,
        cell: (name) => all.locator(`td.${name}`),
        looks: (how) => all.and(page.locator(`[data-looks="${how}"]`)).waitFor(),
    };
}

/** Waits until what a locator shows has a text in it; white space counts as one blank. */
export async function says(locator, text) {
    await locator.filter({ hasText: text }).first().waitFor();
}

/** Waits until a locator has so many. */
export async function counted(locator, number) {
    if (number > 0) await locator.nth(number - 1).waitFor();
    await locator.nth(number).waitFor({ state: 'detached' });
}

/** That a work was stopped for this reason, and how soon. */
export async function stoppedFor(page, number, { by, why, within: bound = 2000 }) {
    const { looks: looksLike, cell } = row(page, number);
    await looksLike('stopped');
    await says(cell('by'), by);
    await says(cell('why'), why);
    for (const name of ['heard', 'stopped']) {
        const text = await cell(name).innerText();
        const [, value, unit] = /([\d.]+) (ms|s)$/.exec(text) ?? assert.fail(`#${number} ${name}: ${text}`);
        const ms = Number(value) * (unit === 's' ? 1000 : 1);
        assert.ok(ms <= bound, `#${number}: ${name} after ${ms} ms`);
    }
}
