//! Tests of single functions' sites.
use super::{ArgumentRegisters, Chosen, Prologue, Start, choose, first};
use crate::probe::plan::{LeftOutReason, Price};
use crate::probe::test_code::{AT, Assembled};

const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

fn intruded(
    assembled: &Assembled,
    intrusions: &[u64],
    how: (Prologue, ArgumentRegisters),
) -> Result<Chosen, LeftOutReason> {
    let start = Start {
        code: &assembled.parts[0].1,
        address: AT,
        body: &assembled.body(),
        intrusions,
    };
    choose(start, how)
}

fn site_of(assembled: &Assembled, how: (Prologue, ArgumentRegisters)) -> Result<Chosen, LeftOutReason> {
    intruded(assembled, &[], how)
}

fn site(bytes: &[u8]) -> (u32, Price) {
    let how = (Prologue::Ordinary, ArgumentRegisters::none());
    let Chosen { distance, price } = site_of(&Assembled::new(bytes), how).unwrap();
    (distance, price)
}

#[test]
fn the_first_instruction_is_probed_on_demand_if_the_kernel_can() {
    let price = Price::SingleStepped;
    assert_eq!(
        first(&with_endbr64(&[0x55, 0xc3]), AT),
        Ok(Chosen { distance: 0, price })
    );
    // lock bts [rdi], 0; vmovq rax, xmm0
    for bytes in [&[0xf0, 0x0f, 0xba, 0x2f, 0][..], &[0xc4, 0xe1, 0xf9, 0x7e, 0xc0]] {
        assert_eq!(first(bytes, AT), Err(LeftOutReason::Refused), "{bytes:x?}");
    }
    assert_eq!(first(&[0x06], AT), Err(LeftOutReason::Undecodable));
}

fn with_endbr64(rest: &[u8]) -> Vec<u8> {
    [&ENDBR64[..], rest].concat()
}

#[test]
fn the_site_moves_past_endbr64_to_what_is_emulated() {
    assert_eq!(site(&[0x55, 0xc3]), (0, Price::Emulated));
    // endbr64; push rbp; ret
    assert_eq!(site(&with_endbr64(&[0x55, 0xc3])), (4, Price::Emulated));
    // endbr64; mov eax, edi; test eax, eax; je +1; nop; ret
    assert_eq!(
        site(&with_endbr64(&[0x89, 0xf8, 0x85, 0xc0, 0x74, 1, 0x90, 0xc3])),
        (8, Price::Emulated)
    );
    // mov eax, edi; ret: nothing is emulated
    assert_eq!(site(&[0x89, 0xf8, 0xc3]), (0, Price::SingleStepped));
}

#[test]
fn a_jump_between_entry_and_site_keeps_the_entry() {
    // endbr64; push rbx; pop rbx; test; jne back to the push; ret
    let loops = with_endbr64(&[0x53, 0x5b, 0x85, 0xc0, 0x75, 0xfa, 0xc3]);
    assert_eq!(site(&loops), (0, Price::SingleStepped));
    // The same loop, back to the pop behind the site, disturbs nothing.
    let loops = with_endbr64(&[0x53, 0x5b, 0x85, 0xc0, 0x75, 0xfb, 0xc3]);
    assert_eq!(site(&loops), (4, Price::Emulated));
}

#[test]
fn a_jump_from_a_fragment_counts_too() {
    // endbr64; push rbx; pop rbx; je to the fragment; ret
    let mut assembled = Assembled::new(&with_endbr64(&[0x53, 0x5b, 0x0f, 0x84, 0xf4, 0x0f, 0, 0, 0xc3]));
    // The fragment: jmp to the push.
    assembled.parts.push((0x2000, vec![0xe9, 0xff, 0xef, 0xff, 0xff]));
    assembled.fragments.push((0x2000, 0x2005));
    let how = (Prologue::Ordinary, ArgumentRegisters::none());
    assert_eq!(site_of(&assembled, how).unwrap().distance, 0);
}

#[test]
fn a_jump_from_another_function_counts_too() {
    // endbr64; mov eax, edi; push rbx; pop rbx; ret
    let assembled = Assembled::new(&with_endbr64(&[0x89, 0xf8, 0x53, 0x5b, 0xc3]));
    let how = (Prologue::Ordinary, ArgumentRegisters::none());
    let distance = |intrusions: &[u64]| intruded(&assembled, intrusions, how).unwrap().distance;
    assert_eq!(distance(&[AT - 1, AT, AT + 7]), 6);
    assert_eq!(distance(&[AT, AT + 6]), 0);
    // vpor; push rbx: no probe can tell the calls of this one.
    let vpor = Assembled::new(&[0xc5, 0xf9, 0xeb, 0xc1, 0x53, 0x5b, 0xc3]);
    assert_eq!(intruded(&vpor, &[AT + 4], how), Err(LeftOutReason::Refused));
}

#[test]
fn a_changed_stack_pointer_or_argument_ends_the_search() {
    // sub rsp, 8; push rbx; …
    assert_eq!(
        site(&[0x48, 0x83, 0xec, 8, 0x53, 0xc3]),
        (0, Price::SingleStepped)
    );
    // mov rdi, rsi; push rbx; pop rbx; ret
    let assembled = Assembled::new(&[0x48, 0x89, 0xf7, 0x53, 0x5b, 0xc3]);
    let distance = |registers| {
        site_of(&assembled, (Prologue::Ordinary, registers))
            .unwrap()
            .distance
    };
    assert_eq!(distance(ArgumentRegisters::none()), 3);
    assert_eq!(distance(ArgumentRegisters::first(1)), 0);
}

#[test]
fn nothing_is_searched_behind_a_call() {
    // endbr64; xor eax, eax; call …: the call itself is emulated and always executed.
    assert_eq!(
        site(&with_endbr64(&[0x31, 0xc0, 0xe8, 0, 0, 0, 0, 0x55, 0xc3])),
        (6, Price::Emulated)
    );
    // call [rax]; push rbx
    assert_eq!(site(&[0xff, 0x10, 0x53, 0xc3]), (0, Price::SingleStepped));
    // rep movsb; push rbx
    assert_eq!(site(&[0xf3, 0xa4, 0x53, 0xc3]), (0, Price::SingleStepped));
}

#[test]
fn an_indirect_jump_allows_only_what_follows_endbr64() {
    // … jmp [rax*8 + table]: the table cannot be read.
    let jump = [0xff, 0x24, 0xc5, 0, 0, 0, 0x40];
    assert_eq!(
        site(&[&[0x89, 0xf8, 0x53, 0x5b][..], &jump].concat()),
        (0, Price::SingleStepped)
    );
    assert_eq!(
        site(&with_endbr64(&[&[0x53, 0x5b][..], &jump].concat())),
        (4, Price::Emulated)
    );
}

#[test]
fn a_go_function_is_probed_behind_its_stack_check() {
    // cmp rsp, [r14+16]; jbe grow; push rbp; pop rbp; ret; grow: call morestack; jmp entry
    let go = [
        0x49, 0x3b, 0x66, 0x10, 0x76, 3, 0x55, 0x5d, 0xc3, 0xe8, 0, 0x10, 0, 0, 0xeb, 0xf0,
    ];
    let assembled = Assembled::new(&go);
    let chosen = site_of(&assembled, (Prologue::Go, ArgumentRegisters::none())).unwrap();
    assert_eq!(
        chosen,
        Chosen {
            distance: 6,
            price: Price::Emulated
        }
    );
    // Read as C it would be probed at the jump, and counted again after the stack has grown.
    let chosen = site_of(&assembled, (Prologue::Ordinary, ArgumentRegisters::none())).unwrap();
    assert_eq!(chosen.distance, 4);
}

#[test]
fn what_the_kernel_refuses_is_passed_over_or_left_out() {
    // lock inc [rdi]; ret
    assert_eq!(site(&[0xf0, 0xff, 0x07, 0xc3]), (3, Price::SingleStepped));
    let how = (Prologue::Ordinary, ArgumentRegisters::none());
    assert_eq!(
        site_of(&Assembled::new(&[0x0f, 0x0b]), how),
        Err(LeftOutReason::Refused)
    );
    // vpor xmm0, xmm0, xmm1; movq rax, xmm0; ret. Kernels take the first for a jump.
    let vpor = [0xc5, 0xf9, 0xeb, 0xc1, 0x66, 0x48, 0x0f, 0x7e, 0xc0, 0xc3];
    assert_eq!(site(&vpor), (4, Price::SingleStepped));
    // vpor; sub rsp, 8: behind it the return address is no longer at the stack pointer.
    assert_eq!(
        site(&[&vpor[..4], &[0x48, 0x83, 0xec, 8]].concat()),
        (4, Price::SingleStepped)
    );
    // vpor; vpor; jmp to the second
    let loops = [&vpor[..4], &vpor[..4], &[0xeb, 0xfa]].concat();
    assert_eq!(site_of(&Assembled::new(&loops), how), Err(LeftOutReason::Refused));
    assert_eq!(
        site_of(&Assembled::new(&[0x06]), how),
        Err(LeftOutReason::Undecodable)
    );
}
