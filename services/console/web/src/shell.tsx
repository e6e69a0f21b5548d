import { useEffect, useRef, useState } from "preact/hooks";

import type { Who } from "./api";
import { Choice, Heading } from "./parts";
import { choose, usePreferences } from "./preferences";
import { type Route, go, link } from "./route";
import { Shortcuts } from "./shortcuts";
import { EventsPage } from "./pages/events";
import { OverviewPage } from "./pages/overview";
import { ParkedPage } from "./pages/parked";
import { PersonPage } from "./pages/person";
import { ReceiptsPage } from "./pages/receipts";
import { ReplaysPage } from "./pages/replays";
import { ReplicasPage } from "./pages/replicas";

/** The pages, in the order of the navigation. `key` goes there, after g. Those that `operator` is set for ask the API for what takes that scope. */
export const pages: { page: string; title: string; key: string; operator?: boolean }[] = [
  { page: "overview", title: "Overview", key: "o" },
  { page: "events", title: "Live events", key: "e" },
  { page: "person", title: "Person", key: "p" },
  { page: "replicas", title: "Replicas", key: "r" },
  { page: "receipts", title: "Receipts", key: "c" },
  { page: "replays", title: "Replays", key: "y", operator: true },
  { page: "parked", title: "Parked", key: "k", operator: true },
];

/** Shell is what stands around each page. */
export function Shell({ who, route, onSignOut }: { who: Who; route: Route; onSignOut: () => void }) {
  const { clock, theme } = usePreferences();
  const [menu, setMenu] = useState(false);
  const [help, setHelp] = useState(false);
  useKeys(() => setHelp(true));
  useEffect(() => setMenu(false), [route]);
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.querySelector<HTMLElement>("main h1")?.focus(); }}>Skip to the page</a>
      <header class="bar">
        <a class="brand" href={link("overview")}>Curfew<span class="muted"> console</span></a>
        <button type="button" class="menu-button" aria-expanded={menu} aria-controls="side" onClick={() => setMenu(!menu)}>Menu</button>
      </header>
      <div class={`side${menu ? " side-open" : ""}`} id="side">
        <nav aria-label="Pages">
          <ul>
            {pages.filter((p) => !p.operator || who.scopes.includes("operator")).map(({ page, title }) => (
              <li key={page}><a href={link(page)} aria-current={route.page === page ? "page" : undefined}>{title}</a></li>
            ))}
          </ul>
        </nav>
        <section class="side-foot" aria-label="Your settings">
          <Choice label="Clock" value={clock} options={[["local", "Local"], ["utc", "UTC"]]} onChange={(clock) => choose({ clock })} />
          <Choice label="Colours" value={theme} options={[["system", "Auto"], ["light", "Light"], ["dark", "Dark"]]} onChange={(theme) => choose({ theme })} />
          <div class="who">
            <p class="who-name" title={`key ${who.id}`}>{who.name}</p>
            <p class="muted">{who.scopes.includes("operator") ? "operator" : "admin"} · tenant {who.tenant}</p>
          </div>
          <div class="row">
            <button type="button" class="small" onClick={onSignOut}>Sign out</button>
            <button type="button" class="small quiet" aria-keyshortcuts="?" onClick={() => setHelp(true)}>Keys <kbd>?</kbd></button>
          </div>
        </section>
      </div>
      <main id="main">{page(route, who)}</main>
      {help && <Shortcuts onClose={() => setHelp(false)} />}
    </div>
  );
}

function page(route: Route, who: Who) {
  switch (route.page) {
    case "overview": return <OverviewPage who={who} />;
    case "events": return <EventsPage who={who} params={route.params} />;
    case "person": return <PersonPage who={who} user={route.params.get("user") ?? ""} />;
    case "replicas": return <ReplicasPage />;
    case "replays": return <ReplaysPage who={who} />;
    case "parked": return <ParkedPage />;
    case "receipts": return <ReceiptsPage event={route.params.get("event") ?? ""} />;
  }
  return <Heading title="There is no such page" detail={<a href={link("overview")}>Go to the overview</a>} />;
}

/** useKeys takes the shortcuts that hold everywhere, unless somebody types, or a dialog is open. */
function useKeys(help: () => void) {
  const prefix = useRef(0);
  useEffect(() => {
    const down = (e: KeyboardEvent) => {
      const typing = e.target instanceof HTMLElement && e.target.closest("input, textarea, select, [contenteditable]");
      if (typing || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
      if (e.key === "?") return help();
      if (e.key === "/") {
        const search = document.querySelector<HTMLElement>("main [data-search]");
        if (search) {
          e.preventDefault();
          search.focus();
        }
        return;
      }
      if (e.key === "u") return choose({ clock: document.querySelector("[aria-label=Clock] [aria-pressed=true]")?.textContent === "UTC" ? "local" : "utc" });
      if (e.key === "g") return void (prefix.current = Date.now());
      const to = Date.now() - prefix.current < 1500 && pages.find(({ key }) => key === e.key);
      prefix.current = 0;
      if (to) go(to.page);
    };
    addEventListener("keydown", down);
    return () => removeEventListener("keydown", down);
  }, []);
}
