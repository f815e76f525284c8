package exchange

// Change is called before Header is changed for endpoints alone, by a policy that changes it as its operator pleases. From then on Said gives what
// there was. Called again it does nothing.
func (r *Request) Change() {
	if r.changed {
		return
	}
	r.changed = true
	r.said.list = append(r.said.list[:0], r.Header.list...)
}

// Said is what the client said, without the credentials that endpoints are not to see. Whoever answers the client, or tells of it, goes by this:
// what Header has in step 9 is what an endpoint got. It must not be changed.
func (r *Request) Said() *Fields {
	if r.changed {
		return &r.said
	}
	return &r.Header
}
