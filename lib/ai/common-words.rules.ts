/**
 * English and German words which, after a space, are one token for cl100k_base as for o200k_base (a test asks both). An
 * upper bound that knows them can be strict with every other word and still lie near the truth on ordinary prose. At
 * most 11 letters each, lower case.
 */
export const COMMON_WORDS = `
ab aber able about above abs ac acc access account act action actually ad add added address adv aff after ag again
against aktuellen al all alle allen aller alles allow along already als also always am amount an anal and andere
anderen android ann another ant any anzeigen ap app appe appro ar are area arg args around arr array art as ask ass
assert async at att attack auch auf aus aut author auto av available aw await away back bar bas base based be because
become been before beg begin beh bei beim being bekannt bekommen bel belie below ben bereits best besteht besten bet
better between bevor bietet big bis bit bitte bl black bleibt block bo body book bool boolean both br break bringen
bro btn bu build business but button buy by bzw ca cal call called came camp can cap car card care case catch cc cell
cent cert certain ch chang change char character che check cherry child children cho city cl claim class clear client
close co code col color column com comb come comm command comp company comple complet component comput con conc
condition conf config connection cons consider console const cont contact content context contin continue control copy
cor cost could coun count country cour course cover cr cre create created cur current custom da daher dann darauf darf
dass dat data date davon day days db de deal dec def default del delete dem den denen dep der deren des design dest
det details dev develop device di did didn die diese diesem diesen dieser dieses dif diff differ different direct
direkt dis disc display dist distrib div do document does doesn don done double down dr drei durch during each ear eas
ebenfalls echo ed eff effect eine einem einen einer eines einfach einige einmal eins either el element else em email
employ en enc end eng enough ent equ er err error erst erste ersten es est et etwas ev even event ever every ex
example exc except exist exp expect expected exper experience expl express ext extends fa fac face fact fail falls
false fam family far fc fe feel fest few field fil file files fin final find finden first fl float follow following
font food footer for fore form format found four fr fre free fri from full fun func function gab game ganz ganze geben
gefunden gegen gehen genau gener get getting gibt ging git give given gl gleich global go going good got gover govern
government gr gre great group grow gu gute habe haben had halten hand handle happ happen hard has hatte have having he
head health height help her here high him hin hinter his hold home host how href http https hum ich id ide ident if
ihn ihnen ihr im image immer imp import important impro in inc includ include including incre ind index indiv info
information init initial input ins inst instance int inter interest intern into inv invest is iss it item items its
jav java javax jede jedem jeden jeder jedoch jemand job json just kam kann ke keep kein keine keinen key kind kn know
kommen konnte kosten la label lange large las last late later law le lead least left leg len length les lesen less let
letzten level li lib liegt life light lik like line link list little lo load loc local log logout long look looking
los lot love low machen made main major make makes making man many map mar mark market mass match material max maximal
may me mean means med media meet mehr meisten mem members men message met method might mill million min miss mod model
mom mon money month more most mov move much mult mus muss must my nach name ne near need nehmen neu neue neuen never
new news next nicht nil nl no noch node non not now np null num number nun nur nutzen ob obj object occ oder of off
offer offic oft often ohne old on once one online only op open oper operand opt option options or order org organ orig
os other our out output over override own page par para param params parent part partic pass password past pat path
pay pe people per percent perform person pg ph pl place plan play player plural po point points pol polit pop porn
port pos position poss possible post pot power pr pre pres present press previous price print private pro prob proble
problem process produ product prof program project prom prop property prot protected prov provid provide public
publish put qu que query quest question range re read real really reason rec rece recent record red redu ref reg rel
rem render rep replica report request require required res research response rest result results ret return review
richtig right rights ro role room root row run sa sagte said same save say says sc schon school se search season
second sed see seem sehr sein seinen seit selbst select self send sent ser server service services set setzen sever
sex sh she short should show sich sicher side sie sign sim since sind single sit site size sk sl sm small so social
software sol soll sollen sollte sollten som some something sort source sowie sp space spe spec special specific
sprintf src st stabil stand start stat state static statt status std stehen stellen stellt step still stop store story
str string struct stud style su sub success such suchen sum sup super support sur sure susp sw switch system table
take talk tar target task te team techn tell tem temp ter test text th than that the their them then there these they
thing things think this those though thought three through throw time times title to today told too top tot total tote
tr trans transparent tri trotz true try tty tuples turn two typ type uint un und under understand unten unter until up
update url us use used user using val valid value values var ver version verwenden verwendet very vi video viele
vielen view vis void vom vor vt wal want waren was water way we web week wegen weil weitere welche well wenig weniger
wenn werden were wh what when where whether which while who why width wie wieder will win window wir wird wirklich
with within without wom women won word worden work working world would wr writ write wurde wurden year years yet you
your zeigen zeigt zum zur zusammen zwei zwischen
`;
