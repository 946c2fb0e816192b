//! Where the key goes; the index itself is tested against a server.

use super::plane::index_address;

#[test]
fn the_control_plane_cannot_send_the_key_elsewhere() {
    for (host, expected) in [
        ("papers-abc.svc.aped-1.pinecone.io", Some("https://papers-abc.svc.aped-1.pinecone.io")),
        ("https://papers.svc.pinecone.io", Some("https://papers.svc.pinecone.io")),
        ("evil.example", None),
        ("pinecone.io.evil.example", None),
        ("evil.example/.pinecone.io", None),
        ("evil.example#.pinecone.io", None),
        ("me@evil.example", None),
        ("http://papers.svc.pinecone.io", None),
        ("", None),
    ] {
        assert_eq!(index_address(host).as_deref(), expected, "{host}");
    }
}
