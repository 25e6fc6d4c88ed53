// Where a browser cannot tell what its other tabs have, or may not, each tab counts for itself; and one
// that waits for a connection of which nobody knows does not say that the server is away.

import { Showcase, card, isSeen, live, looks, says, scenario, starts } from './lib.mjs';

const THREE = ['events', 'report', 'longrunningtask'];

await scenario(async ({ tab, context }) => {
    const showcase = await Showcase.start();
    await context.addInitScript(() => {
        const denied = () => Promise.reject(new DOMException('The request was denied.', 'SecurityError'));
        const value = location.hash === '#denied' ? { request: denied } : undefined;
        Object.defineProperty(Navigator.prototype, 'locks', { value });
    });
    for (const how of ['#denied', '#']) {
        const alone = await tab(showcase, `/${how}`);
        await live(alone);
        for (const id of THREE) await starts(alone, id);
        await card(alone, 'download').start.click();
        await says(card(alone, 'download').words, 'waits for a free connection');
        await card(alone, 'longrunningtask').stop.click();
        await says(card(alone, 'download').words, /^#\d+ runs/);
        await card(alone, 'download').stop.click();
        await looks(card(alone, 'download').run, 'stopped');
        if (how === '#denied') await alone.close();
    }
    const [last, other] = [await tab(showcase), await tab(showcase)];
    await isSeen(last, false);
    await last.locator('#link[data-state=resting]').waitFor();
    // With two logs that is all that the browser opens.
    for (const id of THREE.slice(0, 2)) await starts(other, id);
    await isSeen(last, true);
    await says(last.locator('#link'), 'Connecting: the server does not answer, or other tabs have all connections');
    await other.close();
    await last.locator('#link[data-state=live]').waitFor();
}, { expected: [/net::ERR_/] });
