//! What of a request lives as long as its answer. Chunks that are unread when it
//! is answered: without this, actix would read on for as long as they come, and
//! so hold the connection for whoever sends one now and then. And the room that
//! its body takes, because an answer that repeats it may be read slowly.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use bytes::Bytes;
use futures::{Stream, stream};

use super::arrival::Room;

type Chunks = Rc<RefCell<Payload>>;

/// The chunks of a request. As long as this lives, they count as unread.
pub struct Unread(Option<Chunks>);

impl Unread {
    /// Watches the body of a request if it comes in chunks. A body of a known
    /// length is looked after by actix.
    pub fn watch(request: &mut ServiceRequest) -> Self {
        if !request.headers().contains_key(header::TRANSFER_ENCODING) {
            return Self(None);
        }
        let chunks = Rc::new(RefCell::new(request.take_payload()));
        let reader = chunks.clone();
        let read = stream::poll_fn(move |ctx| Pin::new(&mut *reader.borrow_mut()).poll_next(ctx));
        request.set_payload(Payload::Stream { payload: Box::pin(read) });
        Self(Some(chunks))
    }

    /// Makes the connection close after an answer that leaves chunks unread, and
    /// gives the body's room back after it.
    pub fn close_after<B: MessageBody + 'static>(
        self,
        response: ServiceResponse<B>,
    ) -> ServiceResponse<EitherBody<B, Answer>> {
        let room = response.request().extensions_mut().remove::<Room>();
        response.map_body(|_, body| match (self.0, room) {
            (None, None) => EitherBody::left(body),
            (unread, room) => {
                EitherBody::right(Answer { body: BoxBody::new(body), _unread: unread, _room: room })
            }
        })
    }
}

/// The body of an answer, what of its request is unread, and the room of both.
pub struct Answer {
    body: BoxBody,
    _unread: Option<Chunks>,
    _room: Option<Room>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(ctx)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::HttpResponse;
    use actix_web::test::TestRequest;
    use std::time::Duration;

    use super::*;
    use crate::http::arrival::Arrivals;

    #[actix_web::test]
    async fn a21_the_room_of_a_body_is_free_when_its_answer_is_gone_and_not_before() {
        let door = Arrivals::new(Duration::from_secs(1), 4 << 20);
        let mut request = TestRequest::default().to_srv_request();
        let unread = Unread::watch(&mut request);
        door.answer(request.request(), 3 << 20).unwrap();
        let response = request.into_response(HttpResponse::Ok().body("long"));
        let (_, answer) = unread.close_after(response).into_parts();
        let other = TestRequest::default().to_http_request();
        assert!(door.answer(&other, 3 << 20).is_err(), "the answer is still read");
        drop(answer);
        assert!(door.answer(&other, 3 << 20).is_ok());
    }
}
