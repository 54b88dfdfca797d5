//! Transactions that write.

use super::{Model, header};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    PutRequest, PutResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
    request_op::Request, response_op::Response,
};

impl Model {
    /// Runs a transaction; whoever calls takes the changes back if it is refused on the way.
    pub(super) fn txn(&mut self, txn: &TxnRequest) -> Result<TxnResponse, EtcdError> {
        let (succeeded, responses) = self.branch(txn)?;
        Ok(TxnResponse { header: header(self.now()), succeeded, responses })
    }

    /// Runs the branch that the conditions choose. All conditions, nested ones too, look at the
    /// state before the whole transaction, which `view` shows until the transaction is done.
    fn branch(&mut self, txn: &TxnRequest) -> Result<(bool, Vec<ResponseOp>), EtcdError> {
        let (succeeded, ops) = self.view().taken(txn);
        let mut responses = Vec::new();
        for RequestOp { request } in ops {
            let response = match request {
                Some(Request::RequestRange(range)) => {
                    let now = self.view_at(self.now(), self.compacted);
                    Response::ResponseRange(now.txn_range(range, &self.view())?)
                }
                Some(Request::RequestPut(put)) => Response::ResponsePut(self.txn_put(put)?),
                Some(Request::RequestDeleteRange(delete)) => {
                    Response::ResponseDeleteRange(self.delete_range(delete))
                }
                Some(Request::RequestTxn(nested)) => {
                    let (succeeded, responses) = self.branch(nested)?;
                    let header = Some(ResponseHeader::default());
                    Response::ResponseTxn(TxnResponse { header, succeeded, responses })
                }
                None => return Err(EtcdError::KeyNotFound),
            };
            responses.push(ResponseOp { response: Some(response) });
        }
        Ok((succeeded, responses))
    }

    /// A put of a transaction. What is to be kept must be there before the transaction, as in
    /// etcd, and still be there when its turn comes.
    fn txn_put(&mut self, put: &PutRequest) -> Result<PutResponse, EtcdError> {
        let before = self.view().pair(&put.key).is_some();
        let now = self.view_at(self.now(), self.compacted).pair(&put.key).is_some();
        if (put.ignore_value || put.ignore_lease) && !(before && now) {
            return Err(EtcdError::KeyNotFound);
        }
        if put.lease != 0 && self.lease(put.lease).is_none() {
            return Err(EtcdError::LeaseNotFound);
        }
        let prev_kv = self.write(put);
        Ok(PutResponse { header: header(self.now()), prev_kv })
    }
}
