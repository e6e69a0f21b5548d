import type { Entry, EventData } from "./api";
import { Badge, Dialog, Id, type Tone } from "./parts";
import { link } from "./route";
import { When } from "./when";

/** What each type of event ends. */
const scopesOfTypes: Record<string, string> = {
  SessionRevoked: "session", UserLoggedOutEverywhere: "user", DeviceLoggedOut: "device", ClientLoggedOut: "client", TenantLoggedOut: "tenant",
};

export function scopeOf(entry: Entry): string {
  return scopesOfTypes[entry.event.type.split(".").at(-2) ?? ""] ?? "unknown";
}

/** targetOf is what the event ends, in one text. */
export function targetOf(entry: Entry): string {
  const d = entry.event.data;
  return ({ session: d.session, user: d.user, device: d.device, client: d.client, tenant: d.tenant } as Record<string, string | undefined>)[scopeOf(entry)] ?? "–";
}

export function reasonTone(reason: string): Tone {
  if (["compromised", "account_disabled", "account_deleted"].includes(reason)) return "bad";
  if (["admin", "policy", "password_changed", "credential_changed"].includes(reason)) return "warn";
  return "plain";
}

export const words = (name: string) => name.replaceAll("_", " ");

export function by(d: EventData): string {
  return d.initiator.id ? `${d.initiator.type} ${d.initiator.id}` : d.initiator.type;
}

/** EventDialog shows all of an event. */
export function EventDialog({ entry, onClose }: { entry: Entry; onClose: () => void }) {
  const d = entry.event.data;
  const pairs: [string, preact.ComponentChildren][] = [
    ["Ends", <><Badge tone="accent">{scopeOf(entry)}</Badge> <Id>{targetOf(entry)}</Id></>],
    ["Reason", <Badge tone={reasonTone(d.reason)}>{words(d.reason)}</Badge>],
    ["By", by(d)],
    ["Said to operators", d.reason_admin],
    ["Said to the person", d.reason_user],
    ["User", d.user && <a href={link("person", { user: d.user })} onClick={onClose}><Id>{d.user}</Id></a>],
    ["Session", d.session && <Id>{d.session}</Id>],
    ["Device", d.device && <Id>{d.device}</Id>],
    ["Client", d.client && <Id>{d.client}</Id>],
    ["Cutoff", d.cutoff && <When at={d.cutoff} />],
    ["But for", d.except?.join(", ")],
    ["Known sessions", d.known_sessions?.length ? `${d.known_sessions.length} ended by name` : undefined],
    ["Tenant", d.tenant],
    ["Happened", <When at={entry.event.time} />],
    ["Stored", <When at={entry.stored} />],
    ["Position", entry.position.toLocaleString("en")],
    ["Forgotten", d.expires_at && <When at={d.expires_at} />],
    ["Replayed", d.replayed || d.replay ? d.replay ?? "yes" : undefined],
    ["Id", <Id>{entry.event.id}</Id>],
  ];
  return (
    <Dialog title="Event" onClose={onClose} wide>
      <dl class="pairs">
        {pairs.filter(([, value]) => value).map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
      <details>
        <summary>As it lies in the ledger</summary>
        <pre class="json" tabIndex={0} aria-label="The event as JSON">{JSON.stringify(entry.event, null, 2)}</pre>
      </details>
    </Dialog>
  );
}
