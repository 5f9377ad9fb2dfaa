"""The compiler's intermediate representation: the records that its stages hand on.

    trace → StepGraph → passes → Schedule → allocate → Program → back end

A `StepGraph` is one step of a cell as a graph of NumPy calls (`graph.py`). A `Schedule` gives each
call its phase: once before the loop over the steps, in the loop, or once after it (`schedule.py`).
A `Program` has buffers (`arrays.py`) and instructions (`program.py`). A back end prints or runs it,
and decides nothing.

All records are frozen. A pass makes new records.
"""

from tinygrad_rnn.compiler.ir.arrays import (
    CONTINUED as CONTINUED,
    OWN as OWN,
    STEP as STEP,
    Buffer as Buffer,
    Known as Known,
    Ref as Ref,
    Storage as Storage,
    T as T,
    View as View,
    When as When,
)
from tinygrad_rnn.compiler.ir.graph import (
    OUTPUTS as OUTPUTS,
    Depends as Depends,
    FusedAdjoint as FusedAdjoint,
    StepGraph as StepGraph,
    Type as Type,
    Value as Value,
    leaves_of as leaves_of,
    mapped as mapped,
    ordered as ordered,
)
from tinygrad_rnn.compiler.ir.program import (
    Instr as Instr,
    Program as Program,
    Sections as Sections,
)
from tinygrad_rnn.compiler.ir.schedule import (
    AtOnce as AtOnce,
    Operand as Operand,
    Phase as Phase,
    Phases as Phases,
    Schedule as Schedule,
)
