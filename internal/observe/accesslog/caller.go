package accesslog

import "straum.dev/straum/internal/edge/exchange"

// appendCaller appends who asked, as far as it is a name of the configuration. The subject, the issuer's claims and all else that may
// identify a person stay out, whatever the settings.
func appendCaller(b []byte, c *exchange.Caller, s *Settings) []byte {
	if c.Consumer != nil {
		b = appendString(b, `,"consumer":"`, c.Consumer.ID, roomName)
	}
	b = appendString(b, `,"auth":"`, c.Method, roomWord)
	if s.Credential {
		b = appendString(b, `,"credential":"`, c.Credential, roomName)
	}
	return b
}
