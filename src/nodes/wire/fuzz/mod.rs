//! What providers answer: any bytes, cut anywhere by the network.

mod frames;
mod replies;
