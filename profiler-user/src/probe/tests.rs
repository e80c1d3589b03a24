//! Tests of what is found in functions: exits, tables, calls.
use super::body::{Body, Exit};
use super::test_code::{AT, Assembled};

fn exits(body: &Body) -> Vec<(u64, Option<u8>)> {
    assert!(!body.undecodable && !body.unseen_exit, "{body:?}");
    body.exits
        .iter()
        .map(|exit| (exit.address - AT, exit.condition))
        .collect()
}

#[test]
fn every_kind_of_return_is_an_exit() {
    for ret in [&[0xc3][..], &[0xf3, 0xc3], &[0xf2, 0xc3], &[0xc2, 8, 0]] {
        let body = Assembled::new(ret).body();
        assert_eq!(exits(&body), [(0, None)], "{ret:x?}");
        assert!(!body.calls);
    }
}

#[test]
fn jumps_that_leave_the_function_are_exits() {
    // test edi, edi; jne far; jmp elsewhere
    let body = Assembled::new(&[0x85, 0xff, 0x0f, 0x85, 0, 1, 0, 0, 0xe9, 0, 2, 0, 0]).body();
    assert_eq!(exits(&body), [(2, Some(5)), (8, None)]);
    assert!(body.exits.iter().all(|exit| exit.emulated && !exit.refused));
    assert_eq!(body.callees, [AT + 0x108, AT + 0x20d]);
    // jmp [rip + slot]
    let mut assembled = Assembled::new(&[0xff, 0x25, 0, 1, 0, 0]);
    assembled.imports.insert(AT + 0x106, "strlen");
    let body = assembled.body();
    assert_eq!(
        body.exits,
        [Exit {
            address: AT,
            condition: None,
            leave: profiler_common::cookie::Leave::Jump,
            target: None,
            emulated: false,
            refused: false
        }]
    );
    assert!(body.calls && !body.unknown_call);
}

#[test]
fn an_exception_in_ocaml_is_no_exit() {
    // test edi, edi; je 1f; ret; 1:
    let returns = [0x85, 0xff, 0x74, 1, 0xc3];
    // mov rsp, [r14 + 16]; pop [r14 + 16]; pop r11; jmp r11
    let later = [
        0x49, 0x8b, 0x66, 0x10, 0x41, 0x8f, 0x46, 0x10, 0x41, 0x5b, 0x41, 0xff, 0xe3,
    ];
    // mov rsp, r14; pop r14; ret
    let earlier = [0x4c, 0x89, 0xf4, 0x41, 0x5e, 0xc3];
    for raise in [&later[..], &earlier] {
        let body = Assembled::new(&[&returns[..], raise].concat()).body();
        assert_eq!(exits(&body), [(4, None)], "{raise:x?}");
    }
    // mov rsp, r14; add rsp, 8; ret: the frame of a function with arrays of variable size.
    let frame = Assembled::new(&[0x4c, 0x89, 0xf4, 0x48, 0x83, 0xc4, 8, 0xc3]);
    assert_eq!(exits(&frame.body()), [(7, None)]);
}

#[test]
fn a_loop_back_to_the_entry_is_no_exit() {
    // dec edi; jne entry; ret
    let body = Assembled::new(&[0xff, 0xcf, 0x75, 0xfc, 0xc3]).body();
    assert_eq!(exits(&body), [(4, None)]);
    assert_eq!(body.targets, [AT]);
}

#[test]
fn fragments_belong_to_their_function() {
    // test edi, edi; jne fragment; ret
    let mut assembled = Assembled::new(&[0x85, 0xff, 0x0f, 0x85, 0xf8, 0x0f, 0, 0, 0xc3]);
    // call abort-like; the second half: ret
    assembled.parts.push((0x2000, vec![0xe8, 0, 0x10, 0, 0, 0xc3]));
    assembled.fragments.push((0x2000, 0x2006));
    let body = assembled.body();
    assert_eq!(exits(&body), [(8, None), (0x1005, None)]);
    assert_eq!(body.callees, [0x3005]);
}

#[test]
fn a_function_that_ends_in_a_call_never_returns() {
    let body = Assembled::new(&[0x55, 0xe8, 0, 1, 0, 0]).body();
    assert_eq!(exits(&body), []);
    // One that runs into the next function leaves unseen.
    // Go's way: nop behind it.
    assert_eq!(
        exits(&Assembled::new(&[0x55, 0xe8, 0, 0x10, 0, 0, 0x90]).body()),
        []
    );
    assert!(Assembled::new(&[0x55, 0x90]).body().unseen_exit);
}

/// cmp edi, 1; ja default; lea rdx, [rip + table]; movsxd rax, [rdx + rdi*4]; add rax, rdx; notrack jmp rax;
/// case 0: ret; case 1: ret; default: ret; then room for an unreachable one.
fn switch() -> Vec<u8> {
    vec![
        0x83, 0xff, 1, 0x77, 0x13, 0x48, 0x8d, 0x15, 0xf4, 0x0f, 0, 0, 0x48, 0x63, 0x04, 0xba, 0x48, 0x01,
        0xd0, 0x3e, 0xff, 0xe0, 0xc3, 0xc3, 0xc3,
    ]
}

#[test]
fn a_switch_goes_where_its_table_says() {
    let table = AT + 12 + 0xff4;
    let distance = |target: u64| (target as i32 - table as i32).to_le_bytes();
    let mut assembled = Assembled::new(&switch());
    // A third entry that the comparison does not allow would lead into the middle of an instruction.
    let entries = [distance(AT + 22), distance(AT + 23), distance(AT + 13)].concat();
    assembled.memory.push((table, entries));
    let body = assembled.body();
    assert_eq!(exits(&body), [(22, None), (23, None), (24, None)]);
    assert!(body.indirect_jump);
    // Without its table it may go anywhere.
    assert!(Assembled::new(&switch()).body().unseen_exit);
}

#[test]
fn a_table_of_addresses_is_read_too() {
    // cmp edi, 1; ja default; jmp [rdi*8 + 0x3000]; ret; ret; default: ret
    let code = [
        0x83, 0xff, 1, 0x77, 9, 0xff, 0x24, 0xfd, 0, 0x30, 0, 0, 0xc3, 0xc3, 0xc3,
    ];
    let mut assembled = Assembled::new(&code);
    assembled.memory.push((
        0x3000,
        [(AT + 12).to_le_bytes(), (AT + 13).to_le_bytes()].concat(),
    ));
    assert_eq!(exits(&assembled.body()), [(12, None), (13, None), (14, None)]);
}

#[test]
fn a_virtual_tail_call_is_an_exit_unless_code_is_left_over() {
    // mov rax, [rdi]; jmp [rax + 16]
    let tail = [0x48, 0x8b, 0x07, 0xff, 0x60, 0x10];
    let body = Assembled::new(&tail).body();
    assert_eq!(exits(&body), [(3, None)]);
    assert!(body.unknown_call);
    let padded = [&tail[..], &[0x66, 0x90, 0xcc]].concat();
    assert_eq!(exits(&Assembled::new(&padded).body()), [(3, None)]);
    // Code behind it that nothing leads to: then the jump does.
    assert!(
        Assembled::new(&[&tail[..], &[0x31, 0xc0, 0xc3]].concat())
            .body()
            .unseen_exit
    );
}

#[test]
fn exceptions_land_in_code_that_nothing_jumps_to() {
    // call; ret; landing pad: xor eax, eax; ret
    let code = [0xe8, 0, 1, 0, 0, 0xc3, 0x31, 0xc0, 0xc3];
    let mut assembled = Assembled::new(&code);
    assert_eq!(exits(&assembled.body()), [(5, None)]);
    assembled.landing_pads.push(AT + 6);
    assert_eq!(exits(&assembled.body()), [(5, None), (8, None)]);
}

#[test]
fn what_overlaps_or_does_not_decode_is_no_code() {
    // je into the middle of the mov
    assert!(
        Assembled::new(&[0x74, 1, 0xb8, 0xc3, 0, 0, 0, 0xc3])
            .body()
            .undecodable
    );
    assert!(Assembled::new(&[0x06]).body().undecodable);
    assert!(Assembled::new(&[0xe8, 0]).body().undecodable, "cut off");
}

#[test]
fn a_switched_stack_is_noticed() {
    assert!(
        Assembled::new(&[0x48, 0x89, 0xfc, 0xc3]).body().replaces_stack,
        "mov rsp, rdi"
    );
    assert!(
        !Assembled::new(&[0x48, 0x89, 0xec, 0xc3]).body().replaces_stack,
        "mov rsp, rbp"
    );
}
