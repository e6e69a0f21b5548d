/** The protocol between a tab and the gateway, for those who write a tab of their own. */
export * from "./protocol.generated.js";
export { SUBPROTOCOL, decode, encodeAck, encodeHello, offers, type Past } from "./frames.js";
export { meaning, type Meaning } from "./closecode.js";
