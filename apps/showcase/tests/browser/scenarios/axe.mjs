// Nobody is shut out: what axe finds wrong, in both colours, with something of each kind to see.

import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { Showcase, card, looks, packages, row, says, scenario, starts } from './lib.mjs';

const AXE = readFileSync(packages.resolve('axe-core'), 'utf8');

await scenario(async ({ tab }) => {
    const showcase = await Showcase.start();
    const page = await tab(showcase);
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.evaluate(AXE);
    const found = [];
    const look = async (what) => {
        for (const colorScheme of ['light', 'dark']) {
            for (const width of [320, 390, 1280]) {
                await page.emulateMedia({ colorScheme });
                await page.setViewportSize({ width, height: 800 });
                const where = `${what}, ${colorScheme}, ${width}`;
                const { violations, passes } = await page.evaluate(() => axe.run({ resultTypes: ['violations'] }));
                assert.ok(passes.length > 5, `${where}: nothing was looked at`);
                for (const { id, impact, help, nodes } of violations) {
                    found.push(`${where}: ${id} (${impact}): ${help}: ${nodes.map(({ html }) => html.slice(0, 160)).slice(0, 3).join(' ')}`);
                }
                const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
                if (wide > 0) found.push(`${where}: it has to be scrolled sideways, by ${wide}`);
            }
        }
    };
    await look('nothing yet');
    const deaf = await starts(page, 'deaf');
    await starts(page, 'events');
    await starts(page, 'report');
    await card(page, 'report').stop.click();
    await looks(card(page, 'report').run, 'stopped');
    await card(page, 'primes').field('below').fill('1000');
    await card(page, 'primes').start.click();
    await looks(card(page, 'primes').run, 'finished');
    await card(page, 'deaf').stop.click();
    await row(page, deaf).looks('asked');
    await looks(card(page, 'deaf').run, 'overdue');
    await look('some of each');
    showcase.signal('SIGKILL');
    await page.locator('#link[data-state=away]').waitFor();
    await says(card(page, 'events').words, 'the server went away');
    await look('the server away');
    assert.deepEqual(found, []);
}, { expected: [/net::ERR_/] });
