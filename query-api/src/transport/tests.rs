//! The endpoint as clients see it: real sockets on the loopback interface, real bytes.

mod audits;
mod client;
mod fixture;
mod over_http;
mod pages;
mod reservations;
mod streams;
mod websockets;
