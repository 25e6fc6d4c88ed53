// What stands above: with what this server works, and whether it is there.

import { byId, setAttr, setText } from "./dom.mjs";
import { clock } from "./time.mjs";

const NOTHING = "\u2013";

export class Header {
  constructor(page) {
    this.page = page;
  }

  render() {
    const { link } = this.page;
    const { about } = link;
    setText(byId("database"), about?.database ?? NOTHING);
    setText(byId("downstream"), about?.downstream ?? NOTHING);
    setText(byId("nats"), about ? nats(about.nats) : NOTHING);
    setText(byId("instance"), about?.instance ?? NOTHING);
    setAttr(byId("link"), "data-state", link.state);
    setAttr(document.body, "data-link", link.state);
    setText(byId("link"), said(link));
  }
}

function said({ state, since, isEnding }) {
  switch (state) {
    case "live":
      return isEnding ? "The server shuts down" : "Live";
    case "slow":
      return "Connecting: the server does not answer, or other tabs have all connections";
    case "away":
      return `The server is away since ${clock(since)}; the page waits for it`;
    case "resting":
      return "Nobody looks at this tab: it reads on when somebody does";
    case "crowded":
      return "Other tabs of this page have all connections to the server: close one of them, or stop something there";
    default:
      return "Connecting";
  }
}

/** Its address, where that is told, or whether there is one. */
function nats(is) {
  if (!is) return "none";
  return is === true ? "in use" : is;
}
