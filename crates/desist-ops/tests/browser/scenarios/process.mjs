// What the process does that serves the page.

import { counted, open, running, says, scenario, show, site } from './lib.mjs';

await scenario(async (page) => {
    await open(page);
    const shown = await show(page, 'Process');
    for (const text of ['replica-1', 'running', 'indexers', 'reader']) await says(shown, text);
    const inFlight = shown.getByRole('row').filter({ hasText: 'GET /slow' });
    await counted(inFlight, 0);
    const client = new AbortController();
    const asked = fetch(`${site}/slow`, { signal: client.signal }).catch(() => {});
    await inFlight.waitFor();
    await running('export', { work: { steps: 1 } });
    await says(shown.getByRole('row').filter({ hasText: 'export' }), '1 of 100');
    client.abort();
    await asked;
    await inFlight.waitFor({ state: 'detached' });
});
