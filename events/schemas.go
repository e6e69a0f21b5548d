package events

import "embed"

// Schemas holds the JSON Schemas (draft 2020-12) of what [Encode] writes: schema/<Name>.schema.json for each event,
// schema/common.schema.json that they refer to, and schema/tab.schema.json for the frames of package tab. It is read-only and
// safe for concurrent use.
//
//go:embed schema/*.schema.json
var Schemas embed.FS
