// By keyboard alone, in little room, in much, without scripts.

import { strict as assert } from 'node:assert';
import { Showcase, card, live, looks, says, scenario, starts } from './lib.mjs';

/** Presses Tab until that has the focus. */
async function tabTo(page, locator) {
    for (let pressed = 0; pressed < 80; pressed++) {
        if (await locator.evaluate((one) => one === document.activeElement)) return;
        await page.keyboard.press('Tab');
    }
    assert.fail(`Tab does not lead to ${locator}`);
}

await scenario(async ({ tab, context }) => {
    const showcase = await Showcase.start();
    const page = await tab(showcase);

    await page.keyboard.press('Tab');
    await says(page.locator(':focus'), 'To the log');
    await page.keyboard.press('Enter');
    assert.equal(new URL(page.url()).hash, '#log-part');
    const { start, stop, run } = card(page, 'longrunningtask');
    await page.evaluate(() => document.activeElement?.blur());
    // A page that goes has nothing to complain of, though it has no answer yet.
    const asked = page.waitForRequest(/state=running/);
    await page.route(/state=running/, () => {}, { times: 1 });
    await page.reload({ waitUntil: 'commit' });
    await asked;
    await page.reload();
    await live(page);
    await tabTo(page, start);
    await page.keyboard.press('Enter');
    await looks(run, 'running');
    assert.ok(await start.evaluate((one) => one === document.activeElement), 'the focus stays where it was');
    await tabTo(page, stop);
    await page.keyboard.press('Space');
    await looks(run, 'stopped');
    assert.ok(await stop.evaluate((one) => one === document.activeElement), 'the focus stays where it was');
    const word = card(page, 'search').field('text');
    await tabTo(page, word);
    await page.keyboard.type('lantern');
    await page.keyboard.press('Enter');
    await looks(card(page, 'search').run, 'running');
    await card(page, 'search').stop.click();
    await looks(card(page, 'search').run, 'stopped');

    // A card has its height from the beginning, and the log stays in sight.
    const box = () => card(page, 'download').all.boundingBox();
    const before = await box();
    await starts(page, 'download');
    assert.equal((await box()).height, before.height);
    await card(page, 'download').stop.click();
    await looks(card(page, 'download').run, 'stopped');
    assert.equal((await box()).height, before.height);

    for (const width of [320, 390, 768, 900, 1280, 1600, 2200]) {
        await page.setViewportSize({ width, height: 800 });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${width}: ${wide}`);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await card(page, 'messages').all.scrollIntoViewIfNeeded();
    const log = await page.locator('#log thead').boundingBox();
    assert.ok(log.y >= 0 && log.y < 800, `the log is out of sight: ${log.y}`);
    // A list where there is no room, which says what each of its texts is.
    await page.setViewportSize({ width: 320, height: 800 });
    const why = page.locator('#log tbody tr').first().locator('.why');
    const { width } = await page.locator('#log tbody tr').first().locator('.whom').boundingBox();
    assert.ok(width > 180, `it has its own line, and that is ${width} wide`);
    const label = await why.evaluate((one) => getComputedStyle(one, '::before').content);
    assert.match(label, /Why/);

    const bare = await context.browser().newContext({ javaScriptEnabled: false });
    const still = await bare.newPage();
    await still.goto(showcase.site);
    await says(still.locator('noscript p'), 'This page needs JavaScript');
    assert.equal(await still.locator('main').isVisible(), false, 'nothing that does nothing');
    await bare.close();
});
