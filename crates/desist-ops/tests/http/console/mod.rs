//! The page for people, with a real server, and whoever reads it.

mod access;
mod cancels;
pub(crate) mod desk;
mod live;
mod loopback;
mod page;
mod reader;
mod rights;
mod service;
