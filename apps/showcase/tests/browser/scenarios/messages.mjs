// Messages: without a queue the card says how to get one; with one they are worked on, and what an
// interrupt leaves is worked on by the next instance.

import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { AWAY, Program, Showcase, card, counted, live, looks, says, scenario, within } from './lib.mjs';

await scenario(async ({ tab }) => {
    const without = await Showcase.start();
    const page = await tab(without);
    const { all, start } = card(page, 'messages');
    await says(all, 'cargo run -- --nats nats://127.0.0.1:4222');
    assert.equal(await start.getAttribute('aria-disabled'), 'true');
    await says(page.locator('#nats'), 'none');
    without.signal('SIGINT');
    await without.ends();
    await page.close();

    const folder = join(process.env.DESIST_FOLDER, 'nats');
    const nats = new Program('nats-server', ['--jetstream', '--store_dir', folder, '--addr', '127.0.0.1', '--port', '-1']);
    const isThere = await Promise.race([
        new Promise((go) => nats.child.on('error', () => go(false))),
        nats.says(/Listening for client connections on 127\.0\.0\.1:(\d+)/),
    ]);
    if (!isThere) {
        assert.equal(process.env.CI, undefined, 'nats-server is missing; install it with: apt-get install nats-server');
        console.error('NOT TESTED: messages: nats-server is missing; install it with: apt-get install nats-server');
        return;
    }
    const more = ['--nats', `nats://127.0.0.1:${isThere[1]}`];
    const first = await Showcase.start({ more });
    const tab1 = await tab(first);
    const messages = card(tab1, 'messages');
    await messages.start.click();
    await looks(messages.run, 'finished');
    await says(messages.words, '10 messages are published');
    const rows = tab1.locator('#log tbody tr', { has: tab1.locator('.whom', { hasText: 'NATS' }) });
    const done = rows.and(tab1.locator('[data-looks=finished]'));
    await done.nth(1).waitFor();
    first.signal('SIGINT');
    const { code, said } = await first.ends();
    assert.equal(code, 0, said);
    await tab1.locator('#link[data-state=away]').waitFor();
    assert.ok(await done.count() < 10, 'all were done before the interrupt');
    await counted(rows.and(tab1.locator('[data-looks=running]')), 0);

    const second = await Showcase.start({ more, port: first.port });
    await live(tab1);
    await within('all ten are done', done.nth(9).waitFor());
    await second.says(/message finished/);
}, { expected: AWAY });
