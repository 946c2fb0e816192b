//! A request that is answered before its chunks were read: without this, actix
//! would read on for as long as they come, and so hold the connection for
//! whoever sends one now and then.

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

    /// Makes the connection close after an answer that leaves chunks unread.
    pub fn close_after<B: MessageBody + 'static>(
        self,
        response: ServiceResponse<B>,
    ) -> ServiceResponse<EitherBody<B, Answer>> {
        response.map_body(|_, body| match self.0 {
            None => EitherBody::left(body),
            Some(unread) => EitherBody::right(Answer { body: BoxBody::new(body), _unread: unread }),
        })
    }
}

/// The body of an answer, and what of its request is unread.
pub struct Answer {
    body: BoxBody,
    _unread: Chunks,
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
