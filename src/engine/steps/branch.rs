//! `if` and `switch`: one of several blocks.

use super::{Flow, enter};
use crate::engine::failure::Failure;
use crate::engine::machine::Machine;
use crate::engine::state::Routine;
use crate::expression::Code;
use crate::program::{Case, CaseMatch};
use crate::value::Value;
use crate::words::BlockId;

impl Machine<'_> {
    pub(crate) fn begin_if(
        &mut self,
        routine: &mut Routine,
        condition: &Code,
        then: BlockId,
        otherwise: BlockId,
    ) -> Result<Flow, Failure> {
        let block = match self.condition(routine, condition)? {
            true => then,
            false => otherwise,
        };
        Ok(enter(routine, block))
    }

    pub(crate) fn begin_switch(
        &mut self,
        routine: &mut Routine,
        subject: Option<&Code>,
        cases: &[Case],
        default: BlockId,
    ) -> Result<Flow, Failure> {
        let case = self.case(routine, subject, cases)?;
        Ok(enter(routine, case.unwrap_or(default)))
    }

    fn case(
        &mut self,
        routine: &Routine,
        subject: Option<&Code>,
        cases: &[Case],
    ) -> Result<Option<BlockId>, Failure> {
        let subject = match subject {
            Some(code) => self.evaluate(routine, code)?,
            None => Value::Null,
        };
        for case in cases {
            let is_met = match &case.matches {
                CaseMatch::Is(value) => self.evaluate(routine, value)? == subject,
                CaseMatch::In(values) => {
                    let values = self.evaluate(routine, values)?;
                    values
                        .as_list()
                        .is_some_and(|values| values.contains(&subject))
                }
                CaseMatch::When(condition) => self.condition(routine, condition)?,
            };
            if is_met {
                return Ok(Some(case.body));
            }
        }
        Ok(None)
    }
}
