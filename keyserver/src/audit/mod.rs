//! The audit actor: signs tree heads, and reads the audit log with proofs.

use actix::{Actor, Addr, Context, Handler, Message, ResponseFuture};
use ed25519_dalek::SigningKey;
use shared::checkpoint::{self, TreeHead};
use shared::ids::{AccountId, ServerId};
use shared::wire::error::Refusal;
use storage::api::{AuditPage, ReadAudit};

use crate::storage::{Storage, ask};

/// The actor, the only owner of the key that signs checkpoints.
#[derive(Debug)]
pub struct Audit {
    key: SigningKey,
    server: ServerId,
    storage: Addr<Storage>,
}

/// Reads records with proofs, and signs the checkpoint that they are proven against.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(AuditPage, String), Refusal>")]
pub struct Query(pub ReadAudit);

impl Audit {
    /// An actor that reads this storage.
    pub fn new(key: SigningKey, server: ServerId, storage: Addr<Storage>) -> Self {
        Self {
            key,
            server,
            storage,
        }
    }
}

impl Actor for Audit {
    type Context = Context<Self>;
}

impl Handler<Query> for Audit {
    type Result = ResponseFuture<Result<(AuditPage, String), Refusal>>;

    fn handle(&mut self, query: Query, _: &mut Self::Context) -> Self::Result {
        let (key, server, storage) = (self.key.clone(), self.server, self.storage.clone());
        Box::pin(async move {
            let account = query.0.account;
            let page = ask(&storage, query.0).await?;
            let note = checkpoint::sign(&key, &server, &account, &page.head);
            Ok((page, note))
        })
    }
}

/// Signs a tree head that was read from storage.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "String")]
pub struct Sign {
    /// The account of the tree.
    pub account: AccountId,
    /// The head to sign.
    pub head: TreeHead,
}

impl Handler<Sign> for Audit {
    type Result = String;

    fn handle(&mut self, sign: Sign, _: &mut Self::Context) -> Self::Result {
        checkpoint::sign(&self.key, &self.server, &sign.account, &sign.head)
    }
}
