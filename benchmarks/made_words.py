"""The words and sentences that `made_traces` fills: `<good>` stands for a drawn word, `<a*b>` for drawn numbers."""

_WORDS = {
    "first": "Am Be Ca Da El Fa Gi Ha In Jo Ka Lu Ma Ne Or Pe Qua Ro Sa Ti Ul Va Wi Xe Ya Zo",
    "last": "bel dira fin gan hild jun kara lia mir nessa pold rik sha tona vin wen zara",
    "hill": ("Ash Birch Clay Dun Elm Fox Gold Hay Iron Kings Lark Mill North Oak Pine Quarry Raven Stone Thorn West"),
    "ford": ("bridge burn bury by cliff dale field ford gate ham haven hill hurst mouth port shaw stead ton well wick"),
    "good": (
        "anchors apples barrels bells blankets bolts boots bottles bricks brushes buttons candles carpets chairs "
        "clocks coins crates cushions drums eggs feathers figs flutes gears gloves hammers helmets jars kettles keys "
        "kites ladders lamps lemons maps marbles mirrors nails needles olives onions paddles pearls pencils pumpkins "
        "ropes saddles seeds shells shovels spoons stamps tiles torches turnips vases violins wheels whistles"
    ),
    "adjective": (
        "amber ancient bitter blue bright broken bronze carved cheap clean coarse copper crooked damp dark double "
        "dusty empty faded fancy flat foreign fragile frozen glass golden green grey heavy hollow iron ivory large "
        "light linen long loud marble mended narrow odd oval painted pale plain polished purple quiet rare red round "
        "rough scarlet sealed sharp shiny silver slim small smooth soft spare square steel striped sturdy thick tiny "
        "wax wide wooden"
    ),
    "place": (
        "attic bakery barn cellar chapel depot dock farm forge garage garden granary hall harbour kitchen library "
        "market mill museum orchard pharmacy quarry school shed shop stable station studio tavern theatre tower vault"
    ),
    "job": (
        "baker brewer captain carpenter chemist clerk cobbler cook courier dealer driver farmer gardener glazier "
        "guard jeweller joiner keeper mason merchant miller miner nurse painter pilot porter potter printer ranger "
        "sailor smith tailor teacher trader tutor warden weaver"
    ),
    "deed": (
        "boxed bought borrowed broke cleaned collected counted delivered exchanged found gave hid inherited lent lost "
        "mended moved ordered packed painted received repaired returned sent shipped sold stacked stored traded won"
    ),
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "month": "January February March April May June July August September October November December",
    "letter": "d f g h k p q r s t u v w z",
    "shape": "hexagon kite octagon parallelogram pentagon rectangle rhombus square trapezoid triangle",
    "way": "algebra cases contradiction counting division elimination factoring induction parity symmetry",
}
VOCABULARY = {kind: words.split() for kind, words in _WORDS.items()}
VOCABULARY["name"] = [first + last for first in VOCABULARY["first"] for last in VOCABULARY["last"]]
VOCABULARY["town"] = [hill + ford for hill in VOCABULARY["hill"] for ford in VOCABULARY["ford"]]
OPENINGS = (
    "<name> is a <job> from <town> and keeps <a> <adjective> <good> in a <place>.",
    "In <month> a <job> named <name> <deed> <a> <good> at <town>.",
    "The <adjective> <place> of <town> holds <a> <good>, <b> of them <adjective2>.",
    "Near <town>, <name> and <name2> share <a> <adjective> <good> with a <job>.",
    "A <place> in <town> opens on <day> with <a> <adjective> <good>.",
    "Every <day> the <job> <name> carries <a> <good> from <town> to <town2>.",
)
FACTS = (
    "On <day> <name3> <deed> <c> <adjective3> <good2>.",
    "Each <adjective3> box takes <d> <good2> and weighs <e> grams.",
    "For <c> <good3> the <job2> of <town3> asks <f> cents.",
    "<name4> <deed2> <g> of the <good2> before <month2>, then <h> more.",
    "A <job3> walks <k> metres to <town4> and rests <f> minutes.",
    "Of every <m> <good3>, <c> turn out <adjective4>.",
    "By <month3>, the number of <good2> is <d> more than <e> times that of <good3>.",
    "$<letter> = <c>$ counts the <adjective3> <good3> of <name3>.",
)
QUESTIONS = (
    "How many <adjective5> <good4> does <name5> own by <month4>?",
    "After <p> weeks, how many <good4> are <adjective5>?",
    "What do <q> <adjective5> <good4> cost in <town5>, in cents?",
    "By how many <good4> does <name5> surpass <name6> on <day2>?",
    "Find the least number of <adjective5> boxes that <name5> needs for <q> <good4>.",
)
TASKS = {
    "algebra": (
        r"Let $<letter>(x) = <a>x^3 - <b>x^2 + <c>x - <d>$ and let $<letter2>(x) = <e>x + <f>$ for real $x$.",
        r"Suppose that $\frac{<a>}{<letter>} + \frac{<b>}{<letter2>} = <c>$ while $<letter> - <letter2> = <d>$.",
        r"With $<letter>_1 = <a>$, $<letter>_2 = <b>$ and $<letter>_{n+2} = <c><letter>_{n+1} - <d><letter>_n$.",
        r"Define $<letter> = \sqrt{<a> + <b>\sqrt{<c>}}$ and $<letter2> = \log_{<d>} <e>$ as on $<f>$ <good>.",
    ),
    "geometry": (
        r"A <shape> with sides $<a>$ and $<b>$ lies inside a <shape2> of perimeter $<c>$ near <town>.",
        r"In $\triangle ABC$ we have $AB = <a>$, $BC = <b>$ and $\cos B = \frac{<c>}{<c+d>}$.",
        r"<name> cuts a <adjective> <shape> of area $<a>\pi$ from a <shape2> of height $<b>$.",
        r"A circle of radius $<a>$ touches the <adjective> <shape> of $<b>$ by $<c>$ at $<letter>$.",
    ),
    "asked": (
        r"Compute the <adjective6> sum over all <good5> when $<letter3> \equiv <p> \pmod{<q>}$.",
        r"Determine, by <way>, the largest $<letter3> \le <p>$ for which $<q><letter3>$ divides $<r>!$ in <town6>.",
        r"What integer is closest to $<p><letter3> + <q>$ if <name6> takes $<letter3> = <r>$?",
        r"Find the remainder that <name6> gets when $<p>^{<q>} + <r>$ is divided by $<s>$.",
    ),
}
BOILERPLATE = (
    "Give your final answer as a single whole number without any units, spaces or commas, and show every step you take."
)
STEPS = (
    "If <name> <deed> <a> <good> and <name2> <deed2> <b>, that is <a+b> <good> together.",
    "So <a> times <b> <good> makes <a*b>, and minus <c> leaves <a*b-c>.",
    "Dividing <a*b+c> by <a> gives <(a*b+c)//a> with <(a*b+c)%a> left over for <name>.",
    r"Squaring $<a>$ gives $<a*a>$, hence $\sqrt{<a*a>} = <a>$ for the <adjective> <good>.",
    r"With $<letter> = <a>$ the left side is $<b>\cdot <a> + <c> = <a*b+c>$, as <way> shows.",
    r"From $<a><letter> + <b> = <a*c+b>$ I subtract $<b>$: $<a><letter> = <a*c>$, so $<letter> = <c>$.",
    "The <job> of <town> counts <a> <adjective> <good> in <month> and <b> in <month2>.",
    "Modulo <a> the number <b*c> is <b*c%a>, which <name> calls the <adjective> case.",
    r"Take the <shape> with sides $<a>$ and $<b>$: its area $<a*b>$ beats $<c>$.",
    "Half of <2*a> <good> is <a>, a third of <3*b> is <b>, so <name> has <a+b>.",
    "On <day> there were <a+b> <good>; taking <b> away for <name> returns <a>.",
    "Try <way>: suppose <name> keeps <a> <good>, then <town> gets <b> and <town2> <c>.",
    r"The discriminant is $<a>^2 - 4\cdot <b> = <a*a-4*b>$, so <way> decides whether $<letter>$ is real.",
    "A <adjective> box for <a> <good> weighs <b> grams, hence <c> boxes weigh <b*c> grams.",
    r"We need $\binom{<a>}{2} = <a*(a-1)//2>$ pairs of <adjective> <good>, less <b> for <name>.",
    "Percentages first: <a> of <100*a> is 1 percent, and <b> percent of that is <a*b>.",
    "In <town> the price is <a+b> cents, in <town2> <b>; the gap is <a> cents.",
    "Let me relabel: <letter> for <adjective> <good>, <letter2> for <good2>, so <letter> + <letter2> is <a+b>.",
    r"Expanding, $(<letter> + <a>)(<letter> + <b>) = <letter>^2 + <a+b><letter> + <a*b>$.",
    r"Since $\gcd(<a*c>, <b*c>)$ is a multiple of $<c>$, the <shape> can be tiled <c> ways.",
    "The sum of the first <a> numbers is <a*(a+1)//2>, and <name> drops <b> of them.",
    "For <name>, <a> minutes plus <b> minutes is <a+b> minutes, or <(a+b)//60> hours and <(a+b)%60> minutes.",
    "That leaves <good>: <a> rows of <b> make <a*b>, of which <c> are <adjective>.",
    "Doubling <a> four times gives <16*a>, more than the <b> <good> at <place>.",
)
REFLECTIONS = (
    "Wait, let me check that again.",
    "Hmm, is it <a> or <b>? I go through the <good> once more.",
    "Let me verify this by <way>.",
    "But what if <name> has none of the <adjective> <good>?",
    "Hold on, the question says <good>, not <good2>.",
    "Okay, that agrees with <a> from before.",
)
CHINESE = (
    "我们先把题目重新读一遍，看看已知条件里到底有哪些数字可以直接使用。",
    "假设第一个数是<a>，第二个数是<b>，那么它们的和就等于<a+b>，这个结果应该没有问题。",
    "接下来考虑剩下的部分，因为每一行有<c>个，所以一共需要把它们乘起来再减去多余的。",
    "等一下，这里可能有一个错误，我需要从头检查一下前面的每一个步骤是否正确。",
    "如果把方程两边同时除以<d>，就可以得到未知数的值，然后代入原来的式子进行验证。",
    "另外还有一种方法，就是利用余数的性质，把所有可能的情况分成几类分别讨论。",
    "经过计算，我发现两种方法得到的答案是一样的，这说明前面的推理过程是可靠的。",
    "不过为了保险起见，还是再用较小的数字试一次，看看规律是不是仍然成立。",
    "根据上面的分析，可以知道最大的那个数不会超过<e>，而且它一定是一个偶数。",
    "最后把这些结果整理在一起，继续用英文写出完整的解答过程和最终的答案。",
    "在这一步里最容易忽略的是边界上的情况，必须单独拿出来仔细说明才行。",
    "所以剩下的问题就变成了怎样选择合适的顺序，使得总的次数尽可能地少一些。",
    "由于题目没有说明物品之间的区别，我们只需要计算组合的数目而不是排列的数目。",
)
LOOPS = (
    "So <name> has <a> <good>, and I have to check whether <name> has <a> <good>.",
    "Wait, <a> times <b> is <a*b>, let me compute that again.",
    "Therefore the <adjective> <shape> must be counted once more, since $<letter> = <a>$.",
)
